//! Which program sent a request, by its headers.

use super::Client;
use super::lanes::Headers;

/// Names the program, if the headers tell.
pub(super) fn client_of(headers: &Headers<'_>) -> Client {
    let agent = headers.get("user-agent").unwrap_or("");
    let originator = headers.get("originator");
    let named = |name: &str, version: Option<&str>| Client {
        name: Some(name.to_owned()),
        version: version.filter(|it| !it.is_empty()).map(str::to_owned),
    };
    let (product, version) = product(agent);
    if originator == Some("codex_cli_ts") {
        return named("codex-typescript", headers.get("version"));
    }
    if is_codex(product) {
        return named("codex", version);
    }
    if originator.is_some_and(is_codex) {
        return named("codex", headers.get("version"));
    }
    let sdk = match product {
        "Agents/Python" => Some("openai-agents-python"),
        "Agents/JavaScript" => Some("openai-agents-js"),
        "OpenAI/Python"
        | "AsyncOpenAI/Python"
        | "AzureOpenAI/Python"
        | "AsyncAzureOpenAI/Python" => Some("openai-python"),
        "OpenAI/JS" | "AzureOpenAI/JS" => Some("openai-node"),
        "ai" | "ai-sdk" => Some("vercel-ai-sdk"),
        _ if product.starts_with("ai-sdk/") => Some("vercel-ai-sdk"),
        _ => None,
    };
    if let Some(name) = sdk {
        return named(name, version);
    }
    // minified bundles rename the class that the name is taken from
    let package = headers.get("x-stainless-package-version");
    match headers.get("x-stainless-lang") {
        Some("js") => return named("openai-node", package.or(version)),
        Some("python") => return named("openai-python", package.or(version)),
        _ => {}
    }
    // Codex between July and August 2025 sent neither agent nor originator (codex.md 4.4)
    if agent.is_empty()
        && headers.get("session_id").is_some()
        && headers.get("openai-beta") == Some("responses=experimental")
    {
        return named("codex", None);
    }
    if product.is_empty() {
        return Client::default();
    }
    named(product, version)
}

fn is_codex(name: &str) -> bool {
    name == "codex" || name.starts_with("codex_") || name.starts_with("codex-")
}

/// The first product of a user agent and its version: `codex_exec/0.169.0 (…)`, `Agents/Python 0.24.0`,
/// `ai-sdk/openai/3.0.141 …`.
fn product(agent: &str) -> (&str, Option<&str>) {
    let mut words = agent.split_whitespace();
    let first = words.next().unwrap_or("");
    let digit = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    if let Some((name, version)) = first.rsplit_once('/')
        && digit(version)
    {
        return (name, Some(version));
    }
    (first, words.next().filter(|word| digit(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(headers: &[(&str, &str)]) -> (Option<String>, Option<String>) {
        let client = client_of(&Headers::new(headers.iter().copied()));
        (client.name, client.version)
    }

    fn is(name: &str, version: Option<&str>) -> (Option<String>, Option<String>) {
        (Some(name.into()), version.map(str::to_owned))
    }

    #[test]
    fn every_client_of_the_lab_is_named() {
        let agent = |text: &'static str| client(&[("User-Agent", text)]);
        assert_eq!(
            agent("codex_exec/0.169.0 (Debian 12.0.0; x86_64) xterm"),
            is("codex", Some("0.169.0"))
        );
        assert_eq!(
            agent("codex-tui/0.169.0 (Debian)"),
            is("codex", Some("0.169.0"))
        );
        assert_eq!(
            agent("codex_cli_rs/0.8.0 (Linux)"),
            is("codex", Some("0.8.0"))
        );
        assert_eq!(
            agent("Agents/Python 0.24.0"),
            is("openai-agents-python", Some("0.24.0"))
        );
        assert_eq!(
            agent("Agents/JavaScript 0.20.0"),
            is("openai-agents-js", Some("0.20.0"))
        );
        assert_eq!(
            agent("OpenAI/Python 1.0.0"),
            is("openai-python", Some("1.0.0"))
        );
        assert_eq!(
            agent("AsyncOpenAI/Python 3.52.0"),
            is("openai-python", Some("3.52.0"))
        );
        assert_eq!(agent("OpenAI/JS 7.55.0"), is("openai-node", Some("7.55.0")));
        assert_eq!(
            agent("ai-sdk/openai/3.0.141 ai-sdk/provider-utils/4.0.66"),
            is("vercel-ai-sdk", Some("3.0.141"))
        );
        assert_eq!(agent("curl/8.5.0"), is("curl", Some("8.5.0")));
        assert_eq!(
            client(&[
                ("originator", "codex_cli_ts"),
                ("version", "0.1.2504172351"),
                ("user-agent", "br/JS 4.94.0")
            ]),
            is("codex-typescript", Some("0.1.2504172351"))
        );
        assert_eq!(
            client(&[("originator", "codex_cli_rs"), ("session_id", "x")]),
            is("codex", None)
        );
        assert_eq!(
            client(&[
                ("openai-beta", "responses=experimental"),
                ("session_id", "x")
            ]),
            is("codex", None)
        );
        assert_eq!(
            client(&[
                ("user-agent", "br/JS 4.94.0"),
                ("x-stainless-lang", "js"),
                ("x-stainless-package-version", "4.94.0")
            ]),
            is("openai-node", Some("4.94.0"))
        );
        assert_eq!(client(&[]), (None, None));
    }
}
