use regex::bytes::Regex;

use super::*;
use crate::redact::Options;

fn redacted(file: &str, patterns: &[&str]) -> (String, Hidden) {
    let options = Options {
        patterns: patterns.iter().map(|it| Regex::new(it).unwrap()).collect(),
        keep_headers: Vec::new(),
        taken: highest_placeholder(file.as_bytes()).unwrap(),
    };
    let mut out = Vec::new();
    let hidden = redact_recording(file.as_bytes(), &mut out, &mut Redactor::new(options)).unwrap();
    (String::from_utf8(out).unwrap(), hidden)
}

const FILE: &str = concat!(
    r#"{"kind":"session","format":1,"command":["codex","--api-key","SECRET"],"upstream":"https://u:SECRET@h/v1?key=SECRET"}"#,
    "\n",
    r#"{"kind":"request","exchange":1,"at_us":0,"transport":"http","path":"/v1/responses?api-key=SECRET","headers":[["Authorization","Bearer SECRET"],["cookie","a=SECRET"],["thread-id","t"]],"x-future":{"password":"SECRET"},"body":{"input":"hush 1234567","api_key":"SECRET"}}"#,
    "\n",
    r#"{"kind":"chunk","exchange":1,"at_us":1,"text":"data: {\"access_token\":\"SEC"}"#,
    "\n",
    r#"{"kind":"chunk","exchange":2,"at_us":2,"base64":"/yJzZWNyZXQiOiJTRUNSRVQi"}"#,
    "\n",
    r#"{"kind":"chunk","exchange":1,"at_us":1234567,"text":"RET\"}\n\n","wire_bytes":9}"#,
    "\n",
    r#"{"kind":"end","exchange":1,"at_us":1234567,"cause":"complete","trailers":[["x-api-key","SECRET"]]}"#,
    "\n",
    r#"{"kind":"future","password":"SECRET","n": 1.50}"#,
    "\n",
    r#"{"kind":"rollout","at_us":5,"path":"a","line":3,"value":{"payload":{"api_key":"SECRET","n":1.50}}}"#,
    "\n",
    r#"{"kind":"frame","connection":1,"at_us":6,"from":"server","type":"text","text":"{\"secret\":\"SECRET\",\"x\":\"hush\"}"}"#,
    "\n",
    r#"{"kind":"request","exchange":3,"headers":[["authorization","SECRET"#,
);

#[test]
fn every_kind_of_line() {
    let (out, hidden) = redacted(FILE, &[]);
    insta::assert_snapshot!(out);
    assert_eq!((hidden.requests, hidden.secrets), (1, 2));
    assert_eq!(hidden.problems.len(), 1);
    assert_eq!(redacted(&out, &[]).0, out);
}

#[test]
fn patterns_leave_the_structure() {
    let (out, _) = redacted(FILE, &["hush", "[0-9]{5,}"]);
    assert!(
        !out.contains("hush") && out.contains(r#""input":"<redacted:"#),
        "{out}"
    );
    assert!(out.contains(r#""at_us":1234567"#), "{out}");
    assert_eq!(redacted(&out, &["hush", "[0-9]{5,}"]).0, out);
    for line in out.lines() {
        assert!(Object::read(line).is_some(), "{line}");
    }
}

#[test]
fn numbers_go_on_behind_those_that_are_taken() {
    let file = r#"{"kind":"frame","text":"<redacted:41>","secret":"x"}"#;
    let (out, _) = redacted(file, &[]);
    assert!(out.contains(r#""secret":"<redacted:42>""#), "{out}");
}

#[test]
fn bodies_are_stored_anew() {
    let item = r#"{"type":"message","content":"0123456789 0123456789 0123456789 0123456789"}"#;
    let mut writer = crate::session::writer::Writer::new(Vec::new());
    let mut input = String::new();
    let mut bodies = Vec::new();
    for exchange in 1..=40_u32 {
        if exchange > 1 {
            input.push(',');
        }
        input.push_str(item);
        let body = format!(
            r#"{{"api_key":"SECRET{}","input":[{input}]}}"#,
            exchange % 3
        );
        bodies.push(body.replace(
            &format!("SECRET{}", exchange % 3),
            &format!("<redacted:{}>", (exchange - 1) % 3 + 1),
        ));
        let line = crate::session::format::RequestLine {
            exchange,
            connection: None,
            at_us: 0,
            head_at_us: None,
            transport: "http",
            http: None,
            method: None,
            path: None,
            headers: None,
            body_complete: None,
            body_encoded: None,
            redacted: Vec::new(),
        };
        writer.request(line, body.into_bytes()).unwrap();
    }
    let file = String::from_utf8(writer.into_inner()).unwrap();
    let (out, _) = redacted(&file, &[]);
    assert!(!out.contains("SECRET") && out.contains("body_delta"));
    assert!(
        out.len() < file.len() + 40 * 60,
        "{} {}",
        out.len(),
        file.len()
    );
    let mut bases = crate::session::body::Bases::default();
    for (line, body) in out.lines().zip(bodies) {
        let object = Object::read(line).unwrap();
        let number = object.small("exchange").unwrap();
        let stored = crate::session::body::stored(&object, &mut bases, number).unwrap();
        assert_eq!(
            stored,
            crate::session::body::Stored::Bytes(body.into_bytes())
        );
    }
    // a base that is gone takes its deltas along, and nothing of them stays
    let torn: String = file
        .lines()
        .skip(1)
        .fold(String::new(), |all, line| all + line + "\n");
    let (out, _) = redacted(&torn, &[]);
    assert!(!out.contains("SECRET"));
}
