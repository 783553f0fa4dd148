//! What looks like a secret, in a file of any size that passes by.
//!
//! This finds what the rules of redaction do not: keys and tokens that are known by their shape, wherever they stand, and
//! credentials whose name tells and whose value is no placeholder. It prefers to miss one to naming what is none. Of what
//! it finds it keeps four characters.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use aho_corasick::packed::Searcher;

use super::{is_placeholder, scan};
use crate::ids::LineNo;

/// Nothing that is looked for is longer than this from the place where it was noticed, to either side.
const REACH: usize = 512;

/// What a secret looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// `sk-…`, also those of other providers.
    ApiKey,
    /// `ghp_…`, `github_pat_…`, `glpat-…`.
    Forge,
    /// `xoxb-…`.
    Slack,
    /// `AKIA…`.
    Aws,
    /// `AIza…`.
    Google,
    /// `hf_…`.
    HuggingFace,
    /// `eyJ….eyJ….…`.
    Jwt,
    /// `Bearer …`.
    Bearer,
    /// The block of a private key.
    PrivateKey,
    /// A value under a name that tells.
    Named,
}

impl Shape {
    /// What it is, for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::ApiKey => "an API key",
            Self::Forge => "a token of GitHub or GitLab",
            Self::Slack => "a token of Slack",
            Self::Aws => "an access key of AWS",
            Self::Google => "an API key of Google",
            Self::HuggingFace => "a token of Hugging Face",
            Self::Jwt => "a JSON web token",
            Self::Bearer => "a bearer token",
            Self::PrivateKey => "a private key",
            Self::Named => "a secret by its name",
        }
    }
}

/// What was seen of one shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The shape.
    pub shape: Shape,
    /// The line of the first one.
    pub line: LineNo,
    /// How many there are.
    pub count: u32,
    /// How the first one begins: no more than four characters.
    pub begins: String,
    /// How long the first one is, as far as it was looked at.
    pub length: usize,
}

/// What secrets begin with, and what they may be.
const SHAPES: [(&str, Shape); 19] = [
    ("sk-", Shape::ApiKey),
    ("ghp_", Shape::Forge),
    ("gho_", Shape::Forge),
    ("ghu_", Shape::Forge),
    ("ghs_", Shape::Forge),
    ("ghr_", Shape::Forge),
    ("github_pat_", Shape::Forge),
    ("glpat-", Shape::Forge),
    ("xoxb-", Shape::Slack),
    ("xoxp-", Shape::Slack),
    ("xoxa-", Shape::Slack),
    ("xoxr-", Shape::Slack),
    ("AKIA", Shape::Aws),
    ("ASIA", Shape::Aws),
    ("AIza", Shape::Google),
    ("hf_", Shape::HuggingFace),
    ("eyJ", Shape::Jwt),
    ("Bearer ", Shape::Bearer),
    ("PRIVATE KEY-----", Shape::PrivateKey),
];

/// What names contain that tell, without the letter that some write large.
const NAMES: [(&str, Shape); 12] = [
    ("uthorization", Shape::Named),
    ("api_key", Shape::Named),
    ("api-key", Shape::Named),
    ("API_KEY", Shape::Named),
    ("apiKey", Shape::Named),
    ("_token\"", Shape::Named),
    ("_token\\", Shape::Named),
    ("_secret\"", Shape::Named),
    ("_secret\\", Shape::Named),
    ("assword\"", Shape::Named),
    ("assword\\", Shape::Named),
    ("ookie\"", Shape::Named),
];

/// What finds signs: many bytes at once where the machine can.
enum Finder {
    Packed(Searcher),
    Plain(AhoCorasick),
}

/// Texts that announce secrets.
type Signs = &'static [(&'static str, Shape)];

/// Few signs at a time are found faster than all at once.
static FINDERS: LazyLock<Vec<(Finder, Signs)>> = LazyLock::new(|| {
    let finder = |signs: Signs| {
        let texts = || signs.iter().map(|it| it.0);
        let found = match Searcher::new(texts()) {
            Some(packed) => Finder::Packed(packed),
            None => Finder::Plain(AhoCorasick::new(texts()).ok()?),
        };
        Some((found, signs))
    };
    [&SHAPES[..], &NAMES[..]]
        .into_iter()
        .filter_map(finder)
        .collect()
});

/// The places of all signs in a text, and what they may be.
fn signs(text: &[u8]) -> Vec<(Range<usize>, Shape)> {
    let mut found = Vec::new();
    for (finder, signs) in FINDERS.iter() {
        let mut add = |range: Range<usize>, sign: usize| {
            found.extend(signs.get(sign).map(|it| (range, it.1)));
        };
        match finder {
            Finder::Packed(packed) => packed
                .find_iter(text)
                .for_each(|it| add(it.range(), it.pattern().as_usize())),
            Finder::Plain(plain) => plain
                .find_iter(text)
                .for_each(|it| add(it.range(), it.pattern().as_usize())),
        }
    }
    found.sort_by_key(|it| it.0.start);
    found
}

/// Looks at a file, block after block.
#[derive(Clone, Debug, Default)]
pub struct Lookout {
    /// The end of what was looked at, and what was not yet.
    held: Vec<u8>,
    /// Up to here it was looked at.
    at: usize,
    /// Where the last secret ends.
    last: usize,
    /// Up to here lines were counted.
    counted: usize,
    line: LineNo,
    seen: BTreeMap<Shape, Sighting>,
}

impl Lookout {
    /// Looks at the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
        self.look(self.held.len().saturating_sub(REACH));
        let done = self.at.saturating_sub(REACH);
        self.count_lines(done.max(self.counted));
        self.held.drain(..done);
        self.at -= done;
        self.last = self.last.saturating_sub(done);
        self.counted -= done;
    }

    /// What was seen, by line.
    pub fn finish(mut self) -> Vec<Sighting> {
        self.look(self.held.len());
        let mut seen: Vec<Sighting> = self.seen.into_values().collect();
        seen.sort_by_key(|it| (it.line, it.shape));
        seen
    }

    fn look(&mut self, end: usize) {
        let mut found = Vec::new();
        let from = self.at.min(end);
        let text = self.held.get(from..).unwrap_or(&[]);
        let mut last = self.last;
        for (sign, shape) in signs(text) {
            let sign = from + sign.start..from + sign.end;
            if sign.start >= end {
                break;
            }
            if sign.start >= last
                && let Some(secret) = self.verify(shape, &sign)
            {
                // a bearer token is one, whatever else it looks like
                last = secret.end;
                found.push((shape, secret));
            }
        }
        self.last = last;
        for (shape, secret) in found {
            self.count_lines(secret.start);
            let bytes = self.held.get(secret.clone()).unwrap_or(&[]);
            let begins = bytes.iter().take(4).map(|it| char::from(*it)).collect();
            let (line, length) = (self.line + 1, bytes.len());
            let sighting = self.seen.entry(shape).or_insert(Sighting {
                shape,
                line,
                count: 0,
                begins,
                length,
            });
            sighting.count += 1;
        }
        self.at = self.at.max(end);
    }

    fn count_lines(&mut self, to: usize) {
        let passed = self.held.get(self.counted..to).unwrap_or(&[]);
        self.line += memchr::memchr_iter(b'\n', passed).count() as LineNo;
        self.counted = self.counted.max(to);
    }

    /// Where the secret stands that a sign announces, if it is one.
    fn verify(&self, shape: Shape, sign: &Range<usize>) -> Option<Range<usize>> {
        let before = sign.start.checked_sub(1).and_then(|it| self.held.get(it));
        let inside = before.is_some_and(|it| it.is_ascii_alphanumeric() || b"-_".contains(it));
        let run = |from: usize, more: &[u8]| {
            let rest = self.held.get(from..).unwrap_or(&[]).iter().take(REACH);
            from + rest
                .take_while(|it| it.is_ascii_alphanumeric() || more.contains(it))
                .count()
        };
        let from = sign.start;
        match shape {
            _ if inside && !matches!(shape, Shape::PrivateKey | Shape::Named) => None,
            Shape::ApiKey => Some(from..run(sign.end, b"-_")).filter(|it| self.is_random(it, 23)),
            Shape::Forge => Some(from..run(sign.end, b"-_")).filter(|it| self.is_random(it, 24)),
            Shape::Slack => Some(from..run(sign.end, b"-")).filter(|it| self.is_random(it, 24)),
            Shape::HuggingFace => {
                Some(from..run(sign.end, b"")).filter(|it| self.is_random(it, 30))
            }
            Shape::Google => Some(from..run(sign.end, b"-_")).filter(|it| it.len() == 39),
            Shape::Aws => {
                let range = from..run(sign.end, b"");
                let upper = |it: &u8| it.is_ascii_uppercase() || it.is_ascii_digit();
                let text = self.held.get(range.clone())?;
                (text.len() == 20 && text.iter().all(upper) && self.is_random(&range, 20))
                    .then_some(range)
            }
            Shape::Jwt => {
                let head = run(sign.end, b"-_");
                let rest = self.held.get(head..)?.strip_prefix(b".eyJ")?;
                let claims = rest.iter().take_while(|it| is_url_safe(**it)).count();
                (head - from >= 12 && claims >= 8).then(|| from..run(head, b"-_."))
            }
            Shape::Bearer => {
                let range = sign.end..run(sign.end, b"-_.~+/=");
                self.is_random(&range, 20).then_some(range)
            }
            Shape::PrivateKey => {
                let begin = self.held.get(from.saturating_sub(32)..from)?;
                memchr::memmem::find(begin, b"-----BEGIN")?;
                let rest = self.held.get(sign.end..)?;
                // the line end, spelled out or escaped
                let gap = rest
                    .iter()
                    .take(8)
                    .take_while(|it| b"\\nr\r\n ".contains(it));
                let key = sign.end + gap.count();
                let range = key..run(key, b"+/=");
                (range.len() >= 40 || self.is_random(&range, 32)).then_some(range)
            }
            Shape::Named => self.named(sign),
        }
    }

    /// The value of the name that a sign is part of.
    fn named(&self, sign: &Range<usize>) -> Option<Range<usize>> {
        let from = sign.start.saturating_sub(REACH / 2);
        let window = self.held.get(from..)?;
        let window = window.get(..REACH + REACH / 2).unwrap_or(window);
        let (start, end) = scan::credential(window, sign.start - from)?;
        let range = from + start..from + end;
        let value = self.held.get(range.clone())?;
        let value = value.strip_prefix(b"Bearer ").unwrap_or(value);
        let plain = value.iter().all(|it| it.is_ascii_graphic() && *it != b'\\');
        let variable = matches!(value.first(), Some(b'$' | b'<' | b'{' | b'%' | b'*' | b'['));
        let distinct = distinct(value) >= 5;
        (value.len() >= 8 && plain && distinct && !variable && !is_placeholder(value))
            .then_some(range)
    }

    /// Whether it is long enough, has digits among its letters, and does not repeat a few characters.
    fn is_random(&self, range: &Range<usize>, least: usize) -> bool {
        let text = self.held.get(range.clone()).unwrap_or(&[]);
        let runs = text.split(|it| !it.is_ascii_alphanumeric());
        let long = runs.filter(|it| it.len() >= 8);
        text.len() >= least
            && long.clone().any(|it| it.iter().any(u8::is_ascii_digit))
            && distinct(text) >= 10
    }
}

fn is_url_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// How many different bytes there are.
fn distinct(text: &[u8]) -> usize {
    let mut seen = [false; 256];
    for byte in text {
        if let Some(slot) = seen.get_mut(usize::from(*byte)) {
            *slot = true;
        }
    }
    seen.iter().filter(|it| **it).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Vec<Sighting> {
        let mut at_once = Lookout::default();
        at_once.push(text.as_bytes());
        let at_once = at_once.finish();
        for step in [1, 7, 600] {
            let mut lookout = Lookout::default();
            for block in text.as_bytes().chunks(step) {
                lookout.push(block);
            }
            assert_eq!(lookout.finish(), at_once, "{step}");
        }
        at_once
    }

    fn shapes(text: &str) -> Vec<Shape> {
        seen(text).iter().map(|it| it.shape).collect()
    }

    #[test]
    fn shapes_of_secrets() {
        let random = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8";
        for (text, shape) in [
            (format!("the token: Bearer {random}"), Shape::Bearer),
            (format!("export KEY=sk-proj-{random}"), Shape::ApiKey),
            (format!("\"sk-ant-api03-{random}\""), Shape::ApiKey),
            (format!("https://ghp_{random}@github.com"), Shape::Forge),
            (format!("github_pat_{random}"), Shape::Forge),
            (format!("xoxb-123456-{random}"), Shape::Slack),
            ("AKIAIOSFODNN7EXAMPLE".to_owned(), Shape::Aws),
            (format!("-H 'Authorization: Bearer {random}'"), Shape::Named),
            (
                format!("t=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0.{random}"),
                Shape::Jwt,
            ),
            (
                format!("-----BEGIN RSA PRIVATE KEY-----\\nMIIE{random}\\n"),
                Shape::PrivateKey,
            ),
            (format!("[\"Authorization\",\"{random}\"]"), Shape::Named),
            ("{\"api_key\":\"hunter2hunter\"}".to_owned(), Shape::Named),
            (
                "{\\\"db_password\\\": \\\"hunter2hunter\\\"}".to_owned(),
                Shape::Named,
            ),
        ] {
            assert_eq!(shapes(&format!("{{\n}}\n {text}")), [shape], "{text}");
        }
    }

    #[test]
    fn what_only_resembles_one() {
        for text in [
            "risk-assessment-of-the-first-quarter-2026",
            "sk-your-api-key-here-your-api-key",
            "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx1",
            "desk-a1B2c3D4e5F6g7H8i9J0k1L2m3N4",
            "Bearer $OPENAI_API_KEY_OF_THE_PROJECT",
            "Bearer <redacted:1>",
            "-----BEGIN PRIVATE KEY-----",
            "eyJhbGciOiJIUzI1NiJ9",
            "{\"api_key\":\"<redacted:12>\"}",
            "[\"authorization\",\"<redacted>\"]",
            "{\"password\":{\"type\":\"string\"}}",
            "{\"api_key\":\"$OPENAI_API_KEY\",\"max_output_tokens\":123456789}",
            "{\"password\":\"the word of the day\"}",
            "[\"headers.authorization\",\"headers.cookie\"]",
            "[\"authorization\",\"x-request-id\",\"x\"]",
            "{\"next_page_token\":\"a1B2c3D4e5F6\"}",
        ] {
            assert_eq!(seen(text), [], "{text}");
        }
    }

    #[test]
    fn the_first_line_and_how_many() {
        let key = "sk-proj-a1B2c3D4e5F6g7H8i9J0";
        let text = format!("\n\n{key}\n{}\n {key} {key}\n", "x".repeat(3000));
        let seen = seen(&text);
        assert_eq!(seen.len(), 1);
        assert_eq!((seen[0].line, seen[0].count), (3, 3));
        assert_eq!((seen[0].begins.as_str(), seen[0].length), ("sk-p", 28));
    }
}
