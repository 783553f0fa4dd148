use std::ffi::OsString;
use std::path::PathBuf;

use super::*;
use crate::client::home::{Login, login};

/// A situation, built up.
#[derive(Default)]
struct Case {
    command: Vec<OsString>,
    choice: Choice,
    environment: Environment,
    home: Home,
    installed: Installed,
}

fn case(command: &str) -> Case {
    Case {
        command: command.split(' ').map(OsString::from).collect(),
        environment: Environment::of(vars("HOME=/h")),
        ..Case::default()
    }
}

fn vars(text: &str) -> Vec<(OsString, OsString)> {
    text.split_whitespace()
        .map(|it| it.split_once('=').unwrap())
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

impl Case {
    fn env(mut self, text: &str) -> Self {
        self.environment = Environment::of(vars("HOME=/h").into_iter().chain(vars(text)));
        self
    }

    fn config(mut self, text: &str) -> Self {
        self.home.config = Some(text.to_owned());
        self
    }

    fn chatgpt(mut self) -> Self {
        self.home.login = Some(Login::ChatGpt);
        self
    }

    fn version(mut self, text: &str) -> Self {
        self.installed.version = crate::client::program::version_of(text);
        self
    }

    fn given(&self) -> Given<'_> {
        Given {
            command: &self.command,
            choice: self.choice,
            environment: &self.environment,
            home: &self.home,
            installed: &self.installed,
        }
    }

    fn survey(&self) -> Survey {
        survey(self.given())
    }

    fn upstreams(&self) -> Vec<String> {
        let survey = self.survey();
        survey.upstreams.into_iter().map(|it| it.url).collect()
    }

    /// Moved to `http://l/m` and `http://l/c`: the command line, then the variables.
    fn moved(&self) -> (String, Vec<String>) {
        let plan = self.survey().plan(
            self.given(),
            &Locals {
                model: "http://l/m".to_owned(),
                chatgpt: Some("http://l/c".to_owned()),
            },
        );
        let text = |it: &OsString| it.to_str().unwrap().to_owned();
        let command: Vec<String> = plan.command.iter().map(text).collect();
        let variables = plan
            .environment
            .iter()
            .map(|(name, value)| format!("{}={}", text(name), text(value)))
            .collect();
        (command.join(" "), variables)
    }
}

const BOTH: [&str; 2] = ["OPENAI_BASE_URL=http://l/m", "OPENAI_API_BASE=http://l/m"];

#[test]
fn any_program_is_told_by_the_environment() {
    let case = case("python agent.py");
    assert_eq!(case.survey().kind, Kind::Other);
    assert_eq!(case.survey().home, None);
    assert_eq!(case.upstreams(), [PUBLIC_API]);
    assert_eq!(
        case.moved(),
        (
            "python agent.py".to_owned(),
            BOTH.map(str::to_owned).to_vec()
        )
    );
}

#[test]
fn the_upstream_is_where_the_program_would_have_gone() {
    let it = case("python agent.py").env("OPENAI_BASE_URL=https://gate/v1/");
    assert_eq!(it.upstreams(), ["https://gate/v1"]);
    let it = case("python agent.py").env("OPENAI_API_BASE=https://old/v1");
    assert_eq!(it.upstreams(), ["https://old/v1"]);
}

#[test]
fn codex_is_known_by_its_name() {
    let found = |command: &str| {
        let command: Vec<OsString> = command.split(' ').map(OsString::from).collect();
        arguments::find(&command).map(|it| it.arguments)
    };
    for (command, arguments) in [
        ("codex", 1),
        ("/opt/bin/codex exec", 1),
        ("codex-0.169.0", 1),
        ("codex-v0.45.0", 1),
        ("codex.exe exec", 1),
        ("codex.cmd", 1),
        ("./codex-x86_64-unknown-linux-musl", 1),
        ("/x/codex.js", 1),
        ("node /x/bin/codex.js exec", 2),
        ("npx codex exec", 2),
        ("npx @openai/codex exec", 2),
        ("/usr/bin/npx -y @openai/codex@latest exec hi", 3),
        ("npx -p @openai/codex@0.45.0 codex exec", 4),
        ("npm exec -- @openai/codex exec", 4),
        ("pnpm dlx @openai/codex", 3),
        ("yarn dlx @openai/codex", 3),
        ("bunx @openai/codex", 2),
        ("timeout -k 2 60s codex exec", 5),
        ("env -i A=b CODEX_HOME=/x /bin/codex exec", 5),
        ("strace -f -e trace=none -o file nice node codex.js exec", 9),
    ] {
        assert_eq!(found(command), Some(arguments), "{command}");
    }
    for command in [
        "",
        "python codex.py",
        "codexfmt",
        "codex-proxy",
        "npx tsx codex",
        "npm run codex",
        "node agent.js codex.js",
        "echo codex",
        "timeout 60 grep codex",
        "env A=codex",
        "sudo codex",
    ] {
        assert_eq!(found(command), None, "{command}");
    }
}

#[test]
fn the_program_to_look_at_is_codex_itself() {
    let named = |command: &str| {
        let command: Vec<OsString> = command.split(' ').map(OsString::from).collect();
        program(&command).unwrap().to_owned()
    };
    assert_eq!(
        named("timeout 60 node /x/bin/codex.js exec"),
        "/x/bin/codex.js"
    );
    assert_eq!(named("/bin/codex exec"), "/bin/codex");
    assert_eq!(named("python agent.py"), "python");
    assert_eq!(program(&[]), None);
}

#[test]
fn the_built_in_provider_is_told_by_a_setting_and_a_variable() {
    let case = case("codex exec hi");
    assert_eq!(case.survey().kind, Kind::Codex);
    assert_eq!(case.survey().home, Some(PathBuf::from("/h/.codex")));
    assert_eq!(case.upstreams(), [PUBLIC_API]);
    let (command, variables) = case.moved();
    assert_eq!(command, r#"codex -c openai_base_url="http://l/m" exec hi"#);
    assert_eq!(variables, BOTH);
}

#[test]
fn the_upstream_of_the_built_in_provider_is_what_its_version_goes_by() {
    let variable = "OPENAI_BASE_URL=https://gate/v1";
    let old = case("codex").env(variable).version("0.45.0");
    assert_eq!(old.upstreams(), ["https://gate/v1"]);
    let new = case("codex").env(variable).version("0.169.0-linux-x64");
    assert_eq!(new.upstreams(), [PUBLIC_API]);
    assert_eq!(new.survey().notes, [""; 0]);
    assert_eq!(old.moved().1, BOTH);
    // what its tools ask for goes where it went
    assert_eq!(new.moved().1, [""; 0]);
    let unknown = case("codex").env(variable);
    assert_eq!(unknown.upstreams(), ["https://gate/v1"]);
    assert_eq!(unknown.survey().notes.len(), 1);
    let set = case("codex").config("openai_base_url = \"https://set/v1\"");
    assert_eq!(set.upstreams(), ["https://set/v1"]);
}

#[test]
fn settings_of_the_command_line_go_before_the_file_and_ours_behind_them() {
    let case = case("codex -c openai_base_url=https://a/v1 exec -c openai_base_url=\"https://b/v1\" -c model=x hi")
        .config("openai_base_url = \"https://set/v1\"");
    assert_eq!(case.upstreams(), ["https://b/v1"]);
    let (command, _) = case.moved();
    assert!(
        command.ends_with(r#" -c model=x -c openai_base_url="http://l/m" hi"#),
        "{command}"
    );
}

const CUSTOM: &str = r#"
model_provider = "mock"
[model_providers.mock]
name = "mock"
base_url = "https://mock/v1"
wire_api = "responses"
env_key = "MOCK_KEY"
[model_providers."my.prov"]
name = "mine"
base_url = "https://mine/v1"
[model_providers.gate]
name = "gate"
base_url = "https://gate/v1"
requires_openai_auth = true
[profiles.work]
model_provider = "gate"
chatgpt_base_url = "https://chat.work/backend-api/"
"#;

#[test]
fn a_provider_of_the_users_keeps_its_name() {
    let case = case("codex exec hi")
        .config(CUSTOM)
        .env("OPENAI_BASE_URL=https://other/v1");
    assert_eq!(case.upstreams(), ["https://mock/v1"]);
    let (command, variables) = case.moved();
    assert_eq!(
        command,
        r#"codex -c model_providers.mock.base_url="http://l/m" exec hi"#
    );
    // what its tools ask for is not for this provider
    assert_eq!(variables, [""; 0]);
}

#[test]
fn a_provider_may_be_chosen_and_changed_on_the_command_line() {
    for (command, upstream) in [
        ("codex -c model_provider=gate", "https://gate/v1"),
        ("codex --config=model_provider=\"gate\"", "https://gate/v1"),
        ("codex -cmodel_provider=gate", "https://gate/v1"),
        (
            "codex -c model_providers.mock.base_url=https://there/v1",
            "https://there/v1",
        ),
        (
            "codex -c model_providers={mock={base_url=\"https://there/v1\"}}",
            "https://there/v1",
        ),
        ("codex exec -- -c model_provider=gate", "https://mock/v1"),
        ("codex exec --ignore-user-config hi", PUBLIC_API),
    ] {
        assert_eq!(
            case(command).config(CUSTOM).upstreams(),
            [upstream],
            "{command}"
        );
    }
}

#[test]
fn a_provider_with_a_dot_in_its_name_is_laid_over_the_file() {
    let it = case("codex -c model_provider=my.prov").config(CUSTOM);
    assert_eq!(it.upstreams(), ["https://mine/v1"]);
    let (command, _) = it.moved();
    let expected = r#" -c model_providers={"my.prov"={"base_url"="http://l/m"}}"#;
    assert!(command.ends_with(expected), "{command}");
}

#[test]
fn profiles_of_both_kinds_count() {
    let it = case("codex -p work exec hi").config(CUSTOM).chatgpt();
    assert_eq!(
        it.upstreams(),
        ["https://gate/v1", "https://chat.work/backend-api"]
    );
    let (command, _) = it.moved();
    let expected = concat!(
        r#"codex -c model_providers.gate.base_url="http://l/m""#,
        r#" -c profiles.work.chatgpt_base_url="http://l/c" -p work exec hi"#
    );
    assert_eq!(command, expected);
    let mut it = case("codex exec --profile other hi").config(CUSTOM);
    let text = "model_provider = \"gate\"\n[model_providers.gate]\nbase_url = \"https://layer/v1\"";
    it.home.profiles.insert("other".to_owned(), text.to_owned());
    assert_eq!(it.upstreams(), ["https://layer/v1"]);
}

#[test]
fn a_chatgpt_login_has_two_upstreams() {
    let it = case("codex").chatgpt();
    assert_eq!(
        it.upstreams(),
        [
            "https://chatgpt.com/backend-api/codex",
            "https://chatgpt.com/backend-api"
        ]
    );
    let (command, variables) = it.moved();
    let expected = r#"codex -c openai_base_url="http://l/m" -c chatgpt_base_url="http://l/c""#;
    assert_eq!(command, expected);
    assert_eq!(variables, BOTH);
    // an API key of the environment goes first, in `exec` alone
    let key = "CODEX_API_KEY=k";
    assert_eq!(
        case("codex exec hi").chatgpt().env(key).upstreams(),
        [PUBLIC_API]
    );
    assert_eq!(case("codex").chatgpt().env(key).upstreams().len(), 2);
    // the first versions in Rust
    assert_eq!(
        case("codex").chatgpt().version("0.8.0").upstreams(),
        [PUBLIC_API]
    );
    // a login that only the keyring knows
    let keyring = case("codex").config("cli_auth_credentials_store = \"keyring\"");
    assert_eq!(keyring.upstreams().len(), 2);
    assert_eq!(case("codex").upstreams(), [PUBLIC_API]);
}

#[test]
fn a_provider_without_that_login_has_one_upstream() {
    assert_eq!(
        case("codex").config(CUSTOM).chatgpt().upstreams(),
        ["https://mock/v1"]
    );
}

#[test]
fn local_models_are_moved_by_their_own_variable() {
    let it = case("codex --oss");
    assert_eq!(it.upstreams(), ["http://localhost:11434"]);
    let (command, variables) = it.moved();
    assert_eq!(command, "codex --oss");
    assert_eq!(variables, ["CODEX_OSS_BASE_URL=http://l/m/v1"]);
    assert_eq!(
        case("codex --oss --local-provider lmstudio").upstreams(),
        ["http://localhost:1234"]
    );
    assert_eq!(
        case("codex --oss").env("CODEX_OSS_PORT=9").upstreams(),
        ["http://localhost:9"]
    );
    let set = case("codex -c model_provider=ollama").env("CODEX_OSS_BASE_URL=http://gpu/x");
    assert_eq!(set.upstreams(), ["http://gpu/x"]);
    assert_eq!(set.moved().1, ["CODEX_OSS_BASE_URL=http://l/m"]);
}

#[test]
fn the_typescript_codex_gets_no_settings() {
    for it in [
        case("codex -q hi").version("0.1.2504172351"),
        case("npx @openai/codex@0.1.2504172351 -q hi"),
    ] {
        let it = it.env("CODEX_HOME=/elsewhere");
        assert_eq!(it.survey().kind, Kind::CodexTypeScript);
        assert_eq!(it.survey().home, Some(PathBuf::from("/h/.codex")));
        let (command, variables) = it.moved();
        assert!(!command.contains("-c"), "{command}");
        assert_eq!(variables, BOTH);
    }
}

#[test]
fn the_caller_may_say_what_it_is() {
    let mut it = case("wrapper exec hi");
    it.choice = Choice::Codex;
    assert_eq!(
        it.moved().0,
        r#"wrapper -c openai_base_url="http://l/m" exec hi"#
    );
    let mut it = case("codex exec hi");
    it.choice = Choice::None;
    assert_eq!(it.moved().0, "codex exec hi");
}

#[test]
fn local_addresses_are_kept_from_proxies() {
    let it = case("python a.py").env("https_proxy=http://p NO_PROXY=corp,localhost");
    let list = "corp,localhost,127.0.0.1";
    let expected = [format!("NO_PROXY={list}"), format!("no_proxy={list}")];
    assert_eq!(it.moved().1[2..], expected);
    assert_eq!(case("python a.py").env("NO_PROXY=corp").moved().1.len(), 2);
}

#[test]
fn a_damaged_file_is_told_and_passed_over() {
    let it = case("codex").config("model_provider = [");
    assert_eq!(it.upstreams(), [PUBLIC_API]);
    assert_eq!(
        it.survey().notes,
        ["config.toml is no TOML and was not gone by"]
    );
}

#[test]
fn logins_are_read_off_their_file() {
    let tokens = r#""tokens":{"id_token":"x","access_token":"y"}"#;
    for (text, expected) in [
        (
            format!(r#"{{"auth_mode":"chatgpt","OPENAI_API_KEY":null,{tokens}}}"#),
            Some(Login::ChatGpt),
        ),
        (
            format!(r#"{{"OPENAI_API_KEY":null,{tokens}}}"#),
            Some(Login::ChatGpt),
        ),
        (
            format!(r#"{{"OPENAI_API_KEY":"k",{tokens}}}"#),
            Some(Login::ApiKey),
        ),
        (
            r#"{"auth_mode":"apikey","OPENAI_API_KEY":"k"}"#.to_owned(),
            Some(Login::ApiKey),
        ),
        (r#"{"OPENAI_API_KEY":"k"}"#.to_owned(), Some(Login::ApiKey)),
        ("{}".to_owned(), None),
        ("no JSON".to_owned(), None),
    ] {
        assert_eq!(login(&text), expected, "{text}");
    }
}

mod hostile {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_command_and_no_settings_stop_a_plan(
            words in prop::collection::vec(r#"codex|exec|--|-c|--config=|-p|a\.b\.c=\{|model_provider=x|=|"|[-=.\[\]"ä ]{0,6}"#, 0..8),
            config in "(model_providers|profile|=|\\[|\\]|\"|\\.|x|\n| ){0,20}",
        ) {
            let case = Case {
                command: words.iter().map(OsString::from).collect(),
                choice: Choice::Codex,
                ..Case::default()
            }.config(&config);
            let plan = case.survey().plan(case.given(), &Locals { model: "http://l".to_owned(), chatgpt: None });
            // what the user said stays, in its order
            let mut rest = plan.command.iter();
            prop_assert!(case.command.iter().all(|word| rest.any(|it| it == word)));
        }
    }
}
