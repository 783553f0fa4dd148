//! Which names promise a secret: keys of JSON, headers, parameters of a query.
//!
//! A name is compared in one spelling: lower case, words joined by `_`, so that `X-Api-Key`, `x_api_key`, `xApiKey` and
//! `OPENAI_API_KEY` are what they are to whoever reads them.

use std::borrow::Cow;

/// What every sensitive name contains, in lower case, and what introduces the user of a URL. A text without any of these
/// holds nothing that the rules would hide. All are looked for without regard to case.
pub(super) const FRAGMENTS: [&str; 20] = [
    "://",
    "authorization",
    "attestation",
    "api_key",
    "api-key",
    "apikey",
    "token",
    "secret",
    "passw",
    "passphrase",
    "cookie",
    "account",
    "installation",
    "private",
    "remote",
    "repository",
    "chatgpt",
    "sig=",
    "x-amz-",
    "x-goog-",
];

/// Longer names are none.
pub(super) const LONGEST: usize = 128;

/// Names that are sensitive by themselves or as the last words of a longer one.
const ENDINGS: [&str; 27] = [
    "account_id",
    "account_user_id",
    "api_key",
    "apikey",
    "associated_remote_urls",
    "attestation",
    "authorization",
    "chatgpt_user_id",
    "cookie",
    "cookies",
    "installation_id",
    "passphrase",
    "passwd",
    "password",
    "private_key",
    "remote_url",
    "remote_urls",
    "repository_url",
    "secret",
    "secret_access_key",
    "secret_key",
    // in one word, as some write them
    "accesstoken",
    "refreshtoken",
    "idtoken",
    "accountid",
    "clientsecret",
    "authtoken",
];

/// Words before `_token` that make it something else than a secret: places in a list, and what tokenizers call tokens.
const HARMLESS_TOKENS: [&str; 32] = [
    "bos",
    "cancellation",
    "cls",
    "continuation",
    "continue",
    "cursor",
    "end",
    "eos",
    "eot",
    "first",
    "last",
    "mask",
    "max",
    "min",
    "new",
    "next",
    "num",
    "page",
    "pad",
    "pagination",
    "per",
    "resume",
    "sep",
    "space",
    "special",
    "start",
    "stop",
    "sync",
    "to",
    "top",
    "unk",
    "vocab",
];

/// Headers whose values are secrets beside those whose names tell.
const HEADERS: [&str; 6] = [
    "openai_organization",
    "openai_project",
    "x_openai_authorization_error",
    "ocp_apim_subscription_key",
    "x_functions_key",
    "x_goog_iap_jwt_assertion",
];

/// Parameters of a query that are secrets beside those whose names tell.
const PARAMETERS: [&str; 9] = [
    "key",
    "token",
    "sig",
    "signature",
    "auth",
    "x_amz_signature",
    "x_amz_credential",
    "x_goog_signature",
    "x_goog_credential",
];

/// A name in the spelling it is compared in.
fn plain(name: &[u8]) -> String {
    let mut plain = String::with_capacity(name.len() + 4);
    let mut before = 0_u8;
    for &byte in name {
        let starts_word = byte.is_ascii_uppercase() && u8::is_ascii_lowercase(&before);
        if starts_word {
            plain.push('_');
        }
        plain.push(match byte {
            b'-' | b'.' => '_',
            byte => char::from(byte.to_ascii_lowercase()),
        });
        before = byte;
    }
    plain
}

fn ends_in(name: &str, ending: &str) -> bool {
    name.strip_suffix(ending)
        .is_some_and(|before| before.is_empty() || before.ends_with('_'))
}

fn tells(name: &str) -> bool {
    if let Some(before) = name.strip_suffix("_token") {
        let word = before.rsplit('_').next().unwrap_or(before);
        return !word.is_empty() && !HARMLESS_TOKENS.contains(&word);
    }
    ENDINGS.iter().any(|ending| ends_in(name, ending))
}

/// Whether the value under this key of JSON is to be hidden. A bare `token` is not: answers name the words they are
/// made of so (`logprobs`).
pub(super) fn is_key(name: &[u8]) -> bool {
    tells(&plain(name))
}

/// Whether the value of this header is to be hidden.
pub(super) fn is_header(name: &str) -> bool {
    let name = plain(name.as_bytes());
    tells(&name) || HEADERS.contains(&name.as_str())
}

/// Whether the value of this parameter is to be hidden. `anywhere` means that the query may be mere text that looks like
/// one, in which `key=` proves nothing.
pub(super) fn is_parameter(name: &[u8], anywhere: bool) -> bool {
    let name = plain(name);
    let short = ["key", "token", "auth", "signature"].contains(&name.as_str());
    tells(&name) || PARAMETERS.contains(&name.as_str()) && !(anywhere && short)
}

/// Whether this is `authorization` or `proxy-authorization`, also where it is no key but text of a command.
pub(super) fn is_authorization(name: &[u8]) -> bool {
    ends_in(&plain(name), "authorization")
}

/// Whether a name promises what lets someone in, and not only who someone is.
pub(super) fn is_credential(name: &[u8]) -> bool {
    const OTHERS: [&str; 6] = [
        "_id",
        "attestation",
        "remote_url",
        "remote_urls",
        "repository_url",
        "accountid",
    ];
    let name = plain(name);
    tells(&name) && !OTHERS.iter().any(|it| name.ends_with(it))
}

/// Whether this is a header of cookies.
pub(super) fn is_cookie(name: &str) -> bool {
    let name = plain(name.as_bytes());
    ends_in(&name, "cookie")
}

/// Headers are compared by this.
pub(super) fn same_header(left: &str, right: &str) -> bool {
    plain(left.as_bytes()) == plain(right.as_bytes())
}

/// Whether a byte can be part of a name.
pub(super) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// The name as it is shown among the places: not too long.
pub(super) fn shown(name: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(name.get(..64).unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_promise_secrets() {
        for name in [
            "authorization",
            "Proxy-Authorization",
            "x-api-key",
            "API-KEY",
            "api_key",
            "apiKey",
            "OPENAI_API_KEY",
            "access_token",
            "accessToken",
            "refresh-token",
            "GITHUB_TOKEN",
            "client_secret",
            "clientSecret",
            "password",
            "db_password",
            "cookie",
            "Set-Cookie",
            "chatgpt_account_id",
            "ChatGPT-Account-ID",
            "account_id",
            "x-codex-installation-id",
            "installation_id",
            "x-oai-attestation",
            "associated_remote_urls",
            "private_key",
            "AWS_SECRET_ACCESS_KEY",
            "experimental_bearer_token",
            "model_providers.x.experimental_bearer_token",
        ] {
            assert!(is_key(name.as_bytes()), "{name}");
            assert!(is_header(name), "{name}");
            let lower = name.to_ascii_lowercase();
            assert!(FRAGMENTS.iter().any(|it| lower.contains(it)), "{name}");
        }
    }

    #[test]
    fn names_that_do_not() {
        for name in [
            "max_output_tokens",
            "input_tokens",
            "cached_tokens",
            "token",
            "tokens",
            "token_usage",
            "token_count",
            "total_token_usage",
            "prompt_cache_key",
            "key",
            "previous_response_id",
            "thread-id",
            "session_id",
            "x-client-request-id",
            "x-codex-window-id",
            "x-codex-turn-state",
            "next_page_token",
            "eos_token",
            "account_scoped",
            "author",
            "authority",
            "client_authored",
            "secretary",
            "encrypted_content",
            "call_id",
            "x-codex-parent-thread-id",
            "originator",
            "turn_id",
            "fallback_token_limit_override",
            "cookie_policy",
            "time_to_first_token_ms",
            "remote_compaction_v2",
            "private",
        ] {
            assert!(!is_key(name.as_bytes()), "{name}");
            assert!(!is_header(name), "{name}");
        }
    }

    #[test]
    fn parameters_are_stricter_in_a_query_than_in_text() {
        assert!(is_parameter(b"key", false) && !is_parameter(b"key", true));
        assert!(is_parameter(b"api-key", true) && is_parameter(b"sig", true));
        assert!(is_parameter(b"X-Amz-Signature", true));
        assert!(!is_parameter(b"api-version", false));
    }
}
