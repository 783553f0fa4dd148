//! `replay probe`: what it finds of our own mock is what the mock was told to be, and the file goes by it.

use std::time::Duration;

use insta::assert_snapshot;
use responses_replay::contract::Policy;
use responses_replay::contract::lock::Lock;
use responses_replay::endpoint::served::fault::{Cut, Rule};
use responses_replay::endpoint::served::server::Settings;
use responses_replay::probe::questions::ALL;
use responses_replay::probe::{self, Options};
use responses_replay::proxy::Upstream;
use responses_replay::replay::call::Patience;
use responses_replay::replay::live::Sender;
use responses_replay::replay::live::attempts::Budget;

use crate::serve::Served;
use crate::support::Sandbox;

/// The number of a question among the requests.
fn number(name: &str) -> usize {
    ALL.iter().position(|it| it.name == name).unwrap() + 1
}

/// The streams that a probe leaves stand still where it does: then a mock has surely not sent more.
fn stalls() -> [String; 2] {
    [("cut_in_call", "added"), ("cut_behind_call", "done")]
        .map(|(name, event)| format!("{}:response.output_item.{event}=stall", number(name)))
}

fn probed(policies: &[&str]) -> Lock {
    let mut settings = Settings::default();
    for policy in policies {
        settings.rules.set(policy).unwrap();
    }
    for cut in stalls() {
        settings.cuts.push(Rule::<Cut>::parse(&cut).unwrap());
    }
    let served = Served::new(settings);
    let upstream = Upstream::parse(&format!("http://{}/v1", served.address())).unwrap();
    let sender = Sender::new(upstream, None, Patience::default(), None).unwrap();
    let options = Options {
        model: "any".to_owned(),
        budget: Budget {
            requests: 0,
            streams: 0,
            backoff: Duration::ZERO,
        },
        settle: Duration::ZERO,
    };
    let (known, lock) = sender.probe(&options, &mut |_| {});
    assert_eq!(probe::failed(&known), None);
    lock
}

#[test]
fn a_mock_under_each_value_of_each_policy_is_found_to_be_that() {
    for policy in Policy::ALL {
        for value in policy.values() {
            let set = format!("{}={value}", policy.name());
            let lock = probed(&[&set]);
            assert_eq!(
                lock.policies.get(policy.name()).map(String::as_str),
                Some(*value),
                "{set}: {:?}",
                lock.not_settled
            );
            // and nothing else is found to be otherwise than it is
            for other in Policy::ALL.into_iter().filter(|it| *it != policy) {
                assert_eq!(
                    lock.policies.get(other.name()).map(String::as_str),
                    Some(other.values()[0]),
                    "{} under {set}: {:?}",
                    other.name(),
                    lock.not_settled
                );
            }
        }
    }
}

#[test]
fn habits_of_servers_are_found_too() {
    for (habit, values) in [
        ("done_sentinel", ["off", "on"]),
        ("adjacency", ["any", "deepseek"]),
        ("unfinished_web_search", ["refuse", "accept"]),
    ] {
        for value in values {
            let lock = probed(&[&format!("{habit}={value}")]);
            assert_eq!(
                lock.habits.get(habit).map(String::as_str),
                Some(value),
                "{habit}"
            );
        }
    }
}

#[test]
fn what_is_asked_is_listed_and_bounded() {
    let list = probe::list("m");
    assert!((40..=50).contains(&list.len()), "{}", list.len());
    assert!(list.iter().all(|(_, _, bytes)| (80..1000).contains(bytes)));
    let sandbox = Sandbox::new();
    let done = sandbox.run(&["probe", "http://127.0.0.1:1/v1", "--list"]);
    assert_snapshot!(done.text());
}

#[test]
fn another_machine_is_not_asked_without_leave() {
    let sandbox = Sandbox::new();
    let done = sandbox.run(&["probe", "http://probe.invalid/v1", "--model", "m"]);
    assert_eq!(done.status, 2, "{done:?}");
    assert!(done.err.contains("not without --yes"), "{done:?}");
}

#[test]
fn the_lock_is_written_cited_and_obeyed() {
    let mut settings = Settings::default();
    settings.rules.set("output_before_call=refuse").unwrap();
    for cut in stalls() {
        settings.cuts.push(Rule::<Cut>::parse(&cut).unwrap());
    }
    let served = Served::new(settings);
    let sandbox = Sandbox::new();
    let lock = sandbox.path().join("contract.lock");
    let lock = lock.to_str().unwrap();
    let url = format!("http://{}/v1", served.address());
    let arguments = [
        "probe",
        &url,
        "-o",
        lock,
        "--settle",
        "0",
        "--name",
        "the test's own",
    ];
    let done = sandbox.run(&arguments);
    assert_eq!(done.status, 0, "{done:?}");
    let shown = sandbox
        .shown(&done)
        .replace(&url, "[URL]")
        .lines()
        .map(|line| match line.split_once(" requests · ") {
            Some((before, _)) => format!("{before} requests · [DATE]"),
            None => line.to_owned(),
        })
        .collect::<Vec<_>>()
        .join("\n");
    assert_snapshot!(shown);
    // it does not replace what it finds
    assert_eq!(sandbox.run(&arguments).status, 2);

    let story = "rollouts/agents-node-abort-in-tool/session.jsonl";
    let plain = sandbox.run(&[story, "--recover", "history-scan", "--format", "json"]);
    let under = sandbox.run(&[
        story,
        "--recover",
        "history-scan",
        "--contract",
        lock,
        "--format",
        "json",
    ]);
    let verdict = |done: &crate::support::Done| {
        let json = done.json();
        let session = json["sessions"][0].clone();
        (
            session["runs"][0]["verdict"].as_str().unwrap().to_owned(),
            session["contract"]["name"].as_str().map(str::to_owned),
        )
    };
    assert_eq!(verdict(&plain), ("depends".to_owned(), None));
    assert_eq!(
        verdict(&under),
        ("refused".to_owned(), Some("the test's own".to_owned()))
    );
    let text = sandbox.run(&[story, "--contract", lock]);
    assert!(
        text.out.contains("under the contract of the test's own"),
        "{text:?}"
    );
    let checked = sandbox.run(&["check", story, "--contract", lock, "--format", "json"]);
    assert_eq!(checked.json()["contract"]["url"], url, "{checked:?}");
    let serve = sandbox.run(&[
        "serve",
        "--contract",
        lock,
        "--format",
        "json",
        "--",
        "true",
    ]);
    assert_eq!(
        serve.json()["contract"]["policies"]["output_before_call"],
        "refuse",
        "{serve:?}"
    );
    // a policy that is named goes before the file
    let named = sandbox.run(&[
        story,
        "--recover",
        "history-scan",
        "--contract",
        lock,
        "--policy",
        "output_before_call=accept",
        "--format",
        "json",
    ]);
    assert_eq!(verdict(&named).0, "recovered");
}

#[test]
fn a_file_that_is_no_lock_is_told_with_its_line() {
    let sandbox = Sandbox::new();
    let odd = sandbox.write("odd.lock", "format = 1\nname = [\n");
    let story = "rollouts/agents-node-abort-in-tool/session.jsonl";
    for verb in [&["check"][..], &[]] {
        let mut arguments = verb.to_vec();
        arguments.extend([story, "--contract", odd.to_str().unwrap()]);
        let done = sandbox.run(&arguments);
        assert_eq!(done.status, 3, "{done:?}");
        assert!(
            done.err.contains("odd.lock:2") || done.err.contains("odd.lock:3"),
            "{done:?}"
        );
    }
    let newer = sandbox.write(
        "newer.lock",
        "format = 9\nname='a'\nurl='b'\ndate='c'\nmodel='d'\nby='e'\nrequests=1\n",
    );
    let done = sandbox.run(&[story, "--contract", newer.to_str().unwrap()]);
    assert!(done.err.contains("format 9"), "{done:?}");
}

#[test]
fn an_endpoint_that_answers_nothing_is_failed_and_leaves_no_file() {
    let sandbox = Sandbox::new();
    // nobody listens on a port that was given back
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let lock = sandbox.path().join("contract.lock");
    let done = sandbox.run(&[
        "probe",
        &format!("http://{port}/v1"),
        "--model",
        "m",
        "--retries",
        "0",
        "-o",
        lock.to_str().unwrap(),
    ]);
    assert_eq!(done.status, 4, "{done:?}");
    assert!(!lock.exists());
}
