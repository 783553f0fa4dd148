//! `replay probe`: what it finds of our own mock is what the mock was told to be, and the file goes by it.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use insta::assert_snapshot;
use responses_replay::contract::Policy;
use responses_replay::contract::lock::Lock;
use responses_replay::endpoint::served::Profile;
use responses_replay::endpoint::served::fault::{Cut, Rule};
use responses_replay::endpoint::served::server::Settings;
use responses_replay::probe::questions::ALL;
use responses_replay::probe::{self, Options, Said};
use responses_replay::proxy::Upstream;
use responses_replay::replay::call::Patience;
use responses_replay::replay::live::Sender;
use responses_replay::replay::live::attempts::Budget;

use crate::serve::Served;
use crate::support::Sandbox;

/// The number of a question among what is asked; what is only read does not count.
fn number(name: &str) -> usize {
    let asked = ALL.iter().filter(|it| !it.name.starts_with("read_"));
    asked.take_while(|it| it.name != name).count() + 1
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
    let (known, lock, _) = probed_at(&format!("http://{}/v1", served.address()));
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

/// Probes an endpoint as it is.
fn probed_at(url: &str) -> (probe::Known, Lock, usize) {
    let sender = Sender::new(
        Upstream::parse(url).unwrap(),
        None,
        Patience::default(),
        None,
    )
    .unwrap();
    let options = Options {
        model: "any".to_owned(),
        budget: Budget {
            requests: 0,
            streams: 0,
            backoff: Duration::ZERO,
        },
        settle: Duration::ZERO,
    };
    let mut told = 0_usize;
    let (known, lock) = sender.probe(&options, &mut |_| told += 1);
    (known, lock, told)
}

#[test]
fn an_endpoint_that_only_streams_is_probed_with_streams() {
    let mut settings = Settings::default();
    settings.rules.profile = Profile::CodexBackend;
    let served = Served::new(settings);
    let (known, lock, _) = probed_at(&format!("http://{}/v1", served.address()));
    assert_eq!(probe::failed(&known), None);
    assert!(known.streamed && known.unlimited);
    assert_eq!(
        lock.facts["whole_answers"],
        "refused: Stream must be set to true"
    );
    assert_eq!(lock.facts["unanswered_calls"], "refused");
    assert_eq!(lock.policies["missing_id_choice"], "first");
    assert_eq!(lock.policies["output_before_call"], "accept");
    // nothing is stored there
    assert!(
        lock.not_settled.contains_key("stored_after_cut"),
        "{lock:?}"
    );
}

/// A gateway that reads a whole answer before it hands it on, and stands still behind the event at which a probe leaves.
fn gateway(upstream: std::net::SocketAddr) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut events = ["added", "done"].into_iter();
        for client in listener.incoming() {
            let Ok(mut client) = client else { break };
            let request = read_request(&mut client);
            if request.starts_with(b"GET /v1/responses HTTP") {
                // it knows no WebSockets
                continue;
            }
            let mut server = TcpStream::connect(upstream).unwrap();
            server.write_all(&request).unwrap();
            let mut answer = Vec::new();
            let _reset = server.read_to_end(&mut answer);
            let text = String::from_utf8_lossy(&answer).into_owned();
            let asks_for_call = String::from_utf8_lossy(&request).contains("\"required\"");
            let is_cut = asks_for_call && text.contains("text/event-stream");
            let end = match is_cut.then(|| events.next()).flatten() {
                Some(event) => {
                    let at = text
                        .find(&format!("event: response.output_item.{event}"))
                        .unwrap();
                    at + text[at..].find("\n\n").unwrap() + 2
                }
                None => answer.len(),
            };
            if client.write_all(&answer[..end]).is_ok() && end < answer.len() {
                // until the other side leaves
                let _left = client.read(&mut [0]);
            }
        }
    });
    address
}

/// A whole request, which asks for the connection to be closed behind its answer.
fn read_request(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
        bytes.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |it| it.parse::<usize>().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    let line = bytes.windows(2).position(|it| it == b"\r\n").unwrap() + 2;
    let mut all = bytes[..line].to_vec();
    all.extend_from_slice(b"connection: close\r\n");
    all.extend_from_slice(&bytes[line..]);
    all.extend_from_slice(&body);
    all
}

#[test]
fn nothing_is_concluded_from_an_answer_that_was_over_before_it_was_left() {
    let served = Served::new(Settings::default());
    let (known, lock, _) = probed_at(&format!("http://{}/v1", gateway(served.address())));
    assert_eq!(known.heard("cut_in_call").unwrap().said, Said::Left);
    let why = lock.not_settled.get("stored_after_cut");
    assert!(
        why.is_some_and(|why| why.contains("'cut_in_call' is completed there")),
        "{lock:?}"
    );
}

#[test]
fn what_is_sent_is_what_was_listed() {
    let sandbox = Sandbox::new();
    let mut settings = Settings::default();
    for cut in stalls() {
        settings.cuts.push(Rule::<Cut>::parse(&cut).unwrap());
    }
    let served = Served::new(settings);
    let url = format!("http://{}/v1", served.address());
    let listed = sandbox.run(&["probe", &url, "--list", "--format", "json"]);
    let listed = listed.json();
    assert_eq!(listed["asks_for_models"], true);
    let listed: Vec<String> = listed["requests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["request"].as_str().unwrap().to_owned())
        .collect();
    let record = sandbox.path().join("probe.jsonl");
    let lock = sandbox.path().join("contract.lock");
    let done = sandbox.run(&[
        "probe",
        &url,
        "--settle",
        "0",
        "-o",
        lock.to_str().unwrap(),
        "--record",
        record.to_str().unwrap(),
        "--format",
        "json",
    ]);
    assert_eq!(done.status, 0, "{done:?}");
    let done = done.json();
    let evidence = done["evidence"].as_array().unwrap().clone();
    let asked: Vec<&str> = evidence
        .iter()
        .map(|it| it["request"].as_str().unwrap())
        .collect();
    assert_eq!(asked, listed);
    let not_asked = evidence.iter().filter(|it| it["answer"] == "not asked");
    assert_eq!(not_asked.count(), 0, "{evidence:?}");
    let sent = std::fs::read_to_string(&record)
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("{\"kind\":\"request\""))
        .count();
    // and the list of models
    assert_eq!(sent, listed.len() + 1);
    assert_eq!(done["requests"], listed.len() + 1);
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
    assert!(list.iter().all(|(_, _, bytes)| *bytes < 1000));
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
    // wherever a verdict is made, it says under which contract
    let cited = "under the contract of the test's own";
    for arguments in [
        &[story, "--contract", lock][..],
        &[story, "--contract", lock, "--target", &url],
        &[story, "--contract", lock, "--format", "junit"],
        &[story, "--contract", lock, "--format", "github"],
        &["check", story, "--contract", lock],
        &["check", story, "--contract", lock, "--format", "junit"],
        &["check", story, "--contract", lock, "--format", "github"],
        &["sweep", story, "--contract", lock],
        &["sweep", story, "--contract", lock, "--format", "html"],
        &["shrink", story, "--contract", lock, "-o", "[SMALL]"],
    ] {
        let small = sandbox.path().join("small.jsonl");
        let arguments: Vec<&str> = arguments
            .iter()
            .map(|it| match *it {
                "[SMALL]" => small.to_str().unwrap(),
                other => other,
            })
            .collect();
        let done = sandbox.run(&arguments);
        let said = done.out.replace("&apos;", "'").replace("&#39;", "'");
        assert!(said.contains(cited), "{arguments:?} {done:?}");
    }
    let swept = sandbox.run(&["sweep", story, "--contract", lock, "--format", "json"]);
    assert_eq!(swept.json()["contract"]["name"], "the test's own");
    assert_ne!(
        swept.json()["cells"],
        sandbox.run(&["sweep", story, "--format", "json"]).json()["cells"],
        "it is not only cited, it is gone by"
    );
    let client = sandbox.run(&["sweep", story, "--contract", lock, "--first", "true"]);
    assert_eq!(client.status, 2, "{client:?}");
    assert!(client.err.contains("--policy NAME=VALUE"), "{client:?}");
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
    // and the citation does not say that the file's held
    let cited = named.json()["sessions"][0]["contract"].clone();
    assert_eq!(cited["policies"].get("output_before_call"), None, "{cited}");
    assert_eq!(cited["named"]["output_before_call"], "accept", "{cited}");
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
    let head = "format = 1\nname=\"a\\u001b[31m\"\nurl='b'\nmodel='d'\nby='e'\nrequests=1\n";
    for (end, said) in [
        ("date='yesterday'\n", "no date and time"),
        (
            "date='2026-11-21T00:00:00Z'\n[policies]\nno_such='x'\n",
            "no_such",
        ),
        (
            "date='2026-11-21T00:00:00Z'\n[policies]\nduplicate_call='perhaps'\n",
            "perhaps",
        ),
    ] {
        let edited = sandbox.write("edited.lock", format!("{head}{end}"));
        let done = sandbox.run(&["check", story, "--contract", edited.to_str().unwrap()]);
        assert_eq!(done.status, 3, "{done:?}");
        assert!(done.err.contains(said), "{done:?}");
    }
    let future = sandbox.write(
        "future.lock",
        format!("{head}date='9999-01-01T00:00:00Z'\n"),
    );
    let done = sandbox.run(&[story, "--contract", future.to_str().unwrap()]);
    assert!(done.out.contains("lies in the future"), "{done:?}");
    assert!(!done.out.contains('\u{1b}'), "{done:?}");
}

#[test]
fn a_result_is_shown_even_if_it_cannot_be_written() {
    let sandbox = Sandbox::new();
    let served = Served::new(Settings::default());
    let url = format!("http://{}/v1", served.address());
    let nowhere = sandbox.run(&["probe", &url, "--model", "m", "-o", "/no/such/folder/x"]);
    assert_eq!(nowhere.status, 4, "{nowhere:?}");
    assert!(nowhere.out.is_empty(), "nothing was sent: {nowhere:?}");
    let full = sandbox.run(&[
        "probe",
        &url,
        "--model",
        "m",
        "--settle",
        "0",
        "-o",
        "/dev/full",
    ]);
    assert_eq!(full.status, 4, "{full:?}");
    assert!(full.out.contains("missing_id_choice"), "{full:?}");
    assert!(full.err.contains("/dev/full"), "{full:?}");
}

#[test]
fn an_endpoint_that_answers_nothing_is_failed_and_leaves_no_file() {
    let sandbox = Sandbox::new();
    // nobody listens on a port that was given back
    let port = TcpListener::bind("127.0.0.1:0")
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
    // no model is named, and none can be asked for
    let done = sandbox.run(&[
        "probe",
        &format!("http://{port}/v1"),
        "-o",
        lock.to_str().unwrap(),
    ]);
    assert_eq!(done.status, 4, "{done:?}");
    assert!(done.err.contains("Connection refused"), "{done:?}");
    assert!(!lock.exists());
}
