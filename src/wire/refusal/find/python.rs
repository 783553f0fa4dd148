//! Python's way to print a dict, turned back into JSON.
//!
//! The Python SDK prints an error body as `{'error': {'message': "…", 'code': None}}`: single quotes, or double ones where
//! the text holds a single quote (responses-api.md 1.4).

use std::iter::Peekable;
use std::str::CharIndices;

/// Turns the dict or list at the beginning of `text` into JSON; also returns how many bytes it took.
///
/// `None` if it is not finished or holds anything but texts, numbers and the three constants.
pub(super) fn to_json(text: &str) -> Option<(String, usize)> {
    let mut json = String::with_capacity(text.len().min(4096));
    let mut depth = 0_usize;
    let mut chars = text.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        match char {
            '\'' | '"' => {
                let literal = string(&mut chars, char)?;
                json.push_str(&serde_json::Value::from(literal).to_string());
            }
            '{' | '[' | '(' => {
                depth += 1;
                json.push(if char == '(' { '[' } else { char });
            }
            '}' | ']' | ')' => {
                depth = depth.checked_sub(1)?;
                json.push(if char == ')' { ']' } else { char });
                if depth == 0 {
                    return Some((json, at + char.len_utf8()));
                }
            }
            ',' | ':' | '-' | '+' | '.' | '0'..='9' => json.push(char),
            _ if char.is_whitespace() => json.push(' '),
            _ if char.is_ascii_alphabetic() => json.push_str(constant(&mut chars, char)?),
            _ => return None,
        }
    }
    None
}

/// Reads a string up to the quote that ends it.
fn string(chars: &mut Peekable<CharIndices<'_>>, quote: char) -> Option<String> {
    let mut literal = String::new();
    loop {
        let (_, char) = chars.next()?;
        if char == quote {
            return Some(literal);
        }
        // Python escapes its line breaks: this one was made later, perhaps inside an id
        if char == '\n' {
            return None;
        }
        if char != '\\' {
            literal.push(char);
            continue;
        }
        let (_, letter) = chars.next()?;
        let digits = match letter {
            'n' => {
                literal.push('\n');
                continue;
            }
            'r' => {
                literal.push('\r');
                continue;
            }
            't' => {
                literal.push('\t');
                continue;
            }
            'x' => 2,
            'u' => 4,
            'U' => 8,
            '\\' | '\'' | '"' => {
                literal.push(letter);
                continue;
            }
            // Python leaves a backslash before any other letter as it is
            _ => {
                literal.push('\\');
                literal.push(letter);
                continue;
            }
        };
        let mut code = 0_u32;
        for _ in 0..digits {
            let (_, digit) = chars.next()?;
            code = code.checked_mul(16)?.checked_add(digit.to_digit(16)?)?;
        }
        literal.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
}

/// Reads a bare word and returns JSON's name for it.
fn constant(chars: &mut Peekable<CharIndices<'_>>, first: char) -> Option<&'static str> {
    let mut word = String::from(first);
    while let Some((_, char)) = chars.next_if(|(_, char)| char.is_ascii_alphanumeric()) {
        word.push(char);
        if word.len() > 5 {
            return None;
        }
    }
    match word.as_str() {
        "None" => Some("null"),
        "True" => Some("true"),
        "False" => Some("false"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dict_becomes_json() {
        let text = r#"{'a': "it's", 'b': 'say \'x\' \\n "y"\n', 'c': [None, True, -1.5]} tail"#;
        let (json, end) = to_json(text).unwrap();
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            value,
            serde_json::json!({"a": "it's", "b": "say 'x' \\n \"y\"\n", "c": [null, true, -1.5]})
        );
        assert_eq!(end, text.len() - " tail".len());
    }

    #[test]
    fn what_is_no_dict_of_data_is_left_alone() {
        for text in [
            "",
            "{'a': <object at 0x1>}",
            "{'a': 'unfinished",
            "{'a': 1",
            "}",
            r"{'a': '\x4",
            "{'a': 'broken\nline'}",
        ] {
            assert_eq!(to_json(text), None, "{text}");
        }
    }
}
