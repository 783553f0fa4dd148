//! Call ids in a text that has no sentence of the API.

use super::cursor::is_id_byte;

/// How the ids of known clients and providers begin (responses-api.md 1.1, notes).
const PREFIXES: [&str; 10] = [
    "call_",
    "call-",
    "toolu_",
    "fc_",
    "ctc_",
    "tc_",
    "exec-",
    "shell_",
    "chatcmpl-tool-",
    "codex_mcp__",
];

/// Names of members and of error codes that begin like an id.
const WORDS: [&str; 6] = [
    "call_id",
    "call_ids",
    "call_id_too_long",
    "shell_call",
    "shell_call_output",
    "call_type",
];

/// No more ids than this are returned.
const MAX_IDS: usize = 256;

/// No longer id than this is returned.
const MAX_LENGTH: usize = 512;

/// Returns what looks like a call id in `text`, each once, in the order in which they appear.
///
/// These are the words with the prefix of a known client or provider. If there is none and the whole text is one word
/// of characters that ids have, it is that word: then somebody gave an id and nothing else.
pub fn call_ids(text: &str) -> Vec<String> {
    let text = super::head(text, super::MAX_TEXT);
    let mut ids: Vec<String> = Vec::new();
    for word in text.split(|char: char| !is_word_char(char)) {
        let word = trim(word);
        if looks_like_id(word) && !ids.iter().any(|id| id == word) {
            ids.push(word.to_owned());
        }
        if ids.len() == MAX_IDS {
            break;
        }
    }
    if ids.is_empty() {
        let word = text.trim().trim_matches(['"', '\'', '`']);
        let is_one = !word.is_empty() && word.len() <= MAX_LENGTH && word.bytes().all(is_id_byte);
        ids.extend(is_one.then(|| word.to_owned()));
    }
    ids
}

/// Characters of ids, without those by which a text joins a name and an id.
fn is_word_char(char: char) -> bool {
    u8::try_from(char).is_ok_and(is_id_byte) && !matches!(char, '=' | '|')
}

/// Takes off what stands before and behind an id in a sentence.
fn trim(word: &str) -> &str {
    let word = word.trim_end_matches(['.', ':', '-', '/']);
    word.strip_prefix("call_id:")
        .or_else(|| word.strip_prefix("tool_call_id:"))
        .unwrap_or(word)
}

fn looks_like_id(word: &str) -> bool {
    if word.len() > MAX_LENGTH || WORDS.contains(&word) {
        return false;
    }
    PREFIXES
        .iter()
        .any(|prefix| word.len() > prefix.len() && word.starts_with(prefix))
        || is_bare_fc(word)
}

/// Whether a word is `fc` and a long run of letters and digits, without an underscore, as some gateways make them.
fn is_bare_fc(word: &str) -> bool {
    word.strip_prefix("fc").is_some_and(|rest| {
        rest.len() >= 16
            && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && rest.bytes().any(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_known_clients_are_found_once_each() {
        let text = "tool_call_ids did not have response messages: call_A, call_B. See call_A (toolu_01x); \
            call_id=call_C \"call_id\":\"fc_1\" call_id:tc_2: fcUdHXdv33lqE3HoR9P6yJNJ7 exec-1a-2b, \
            codex_mcp__apps__cal.search_exec-9. a shell_call has no id";
        assert_eq!(
            call_ids(text),
            [
                "call_A",
                "call_B",
                "toolu_01x",
                "call_C",
                "fc_1",
                "tc_2",
                "fcUdHXdv33lqE3HoR9P6yJNJ7",
                "exec-1a-2b",
                "codex_mcp__apps__cal.search_exec-9"
            ]
        );
    }

    #[test]
    fn a_word_alone_is_an_id() {
        assert_eq!(call_ids(" 'abc.1/2:3' \n"), ["abc.1/2:3"]);
        assert_eq!(call_ids("two words"), [""; 0]);
        assert_eq!(call_ids(" "), [""; 0]);
        assert_eq!(call_ids("é"), [""; 0]);
    }
}
