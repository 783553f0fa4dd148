use std::borrow::Cow;

use proptest::prelude::*;

use super::*;

fn redactor(patterns: &[&str]) -> Redactor {
    Redactor::new(Options {
        patterns: patterns.iter().map(|it| Regex::new(it).unwrap()).collect(),
        ..Options::default()
    })
}

fn text(text: &str) -> String {
    let text = redactor(&[]).text(text.as_bytes()).into_owned();
    String::from_utf8(text).unwrap()
}

#[test]
fn headers_by_name() {
    let mut r = redactor(&[]);
    assert_eq!(r.header("Authorization", "Bearer sk-1"), "<redacted:1>");
    assert_eq!(r.header("x-api-key", "sk-1"), "<redacted:1>");
    assert_eq!(r.header("X_API_KEY", "sk-2"), "<redacted:2>");
    assert_eq!(
        r.header("cookie", "a=1; b=sk-2;c"),
        "a=<redacted:3>; b=<redacted:2>;<redacted:4>"
    );
    assert_eq!(
        r.header("Set-Cookie", "a=1; Path=/; HttpOnly"),
        "a=<redacted:3>; Path=/; HttpOnly"
    );
    assert_eq!(r.header("ChatGPT-Account-ID", "acct"), "<redacted:5>");
    assert_eq!(
        r.header(
            "Sec-WebSocket-Protocol",
            "realtime, openai-insecure-api-key.sk-2"
        ),
        "realtime, openai-insecure-api-key.<redacted:2>"
    );
    for (name, value) in [
        ("thread-id", "t"),
        ("x-codex-turn-state", "opaque"),
        ("authorization", "<redacted>"),
        ("cookie", "a=<redacted:1>"),
        ("accept", "*/*"),
        ("authorization", ""),
    ] {
        assert!(matches!(r.header(name, value), Cow::Borrowed(_)), "{name}");
    }
}

#[test]
fn json_in_a_header_is_looked_into() {
    let mut r = redactor(&[]);
    let value = r#"{"installation_id":"i-1","session_id":"s","workspaces":{"/w":{"associated_remote_urls":{"origin":"git@h:p"},"has_changes":true}}}"#;
    assert_eq!(
        r.header("x-codex-turn-metadata", value),
        r#"{"installation_id":"<redacted:1>","session_id":"s","workspaces":{"/w":{"associated_remote_urls":"<redacted:2>","has_changes":true}}}"#
    );
}

#[test]
fn a_kept_header_is_open_to_patterns_only() {
    let mut r = Redactor::new(Options {
        keep_headers: vec!["X-Api-Key".into()],
        patterns: vec![Regex::new("zz+").unwrap()],
        taken: 6,
    });
    assert_eq!(r.header("x-api-key", "key"), "key");
    assert_eq!(r.header("x-api-key", "key-zz"), "key-<redacted:7>");
    assert_eq!(r.header("api-key", "key"), "<redacted:8>");
}

#[test]
fn targets_urls_and_arguments() {
    let mut r = redactor(&[]);
    assert_eq!(
        r.target("/v1/responses?api-version=1&key=k&sig=&token=k#access_token=x"),
        "/v1/responses?api-version=1&key=<redacted:1>&sig=&token=<redacted:1>#access_token=<redacted:2>"
    );
    assert_eq!(
        r.url("https://me:pw@host/v1"),
        "https://<redacted:3>@host/v1"
    );
    assert_eq!(r.url("ssh://git@host/v1"), "ssh://git@host/v1");
    assert_eq!(
        r.arguments(&[
            "codex",
            "--api-key",
            "k",
            "--token-file",
            "f",
            "--api_key=k",
            "OPENAI_API_KEY=k",
            "-H",
            "Authorization: Bearer abc",
            "-c",
            "http_headers={\"X-Api-Key\" = \"k\"}",
            "-c",
            "model_providers.p.experimental_bearer_token=\"k2\"",
            "https://h/?key=k",
            "fix the token",
        ]),
        [
            "codex",
            "--api-key",
            "<redacted:1>",
            "--token-file",
            "f",
            "--api_key=<redacted:1>",
            "OPENAI_API_KEY=<redacted:1>",
            "-H",
            "Authorization: Bearer <redacted:4>",
            "-c",
            "http_headers={\"X-Api-Key\" = \"<redacted:1>\"}",
            "-c",
            "model_providers.p.experimental_bearer_token=<redacted:5>",
            "https://h/?key=<redacted:1>",
            "fix the token",
        ]
    );
}

#[test]
fn bodies_keep_every_other_byte() {
    let body = br#"{ "model":"m",  "access_token" : "abc\"d" ,"n":1.50,
 "client_metadata":{"x-codex-installation-id":"i","x-codex-turn-metadata":"{\"installation_id\":\"i\",\"turn_id\":\"t\"}"},
 "input":[{"arguments":"{\"password\": 12, \"k\":null}","cookies":["a",{"b":"}"}]}],"token":"word","max_output_tokens":5}"#;
    let mut r = redactor(&[]);
    let redacted = r.body(body);
    assert_eq!(
        String::from_utf8_lossy(&redacted.bytes),
        r#"{ "model":"m",  "access_token" : "<redacted:1>" ,"n":1.50,
 "client_metadata":{"x-codex-installation-id":"<redacted:2>","x-codex-turn-metadata":"{\"installation_id\":\"<redacted:2>\",\"turn_id\":\"t\"}"},
 "input":[{"arguments":"{\"password\": \"<redacted:3>\", \"k\":null}","cookies":"<redacted:4>"}],"token":"word","max_output_tokens":5}"#
    );
    assert_eq!(
        redacted.places,
        [
            "access_token",
            "client_metadata.x-codex-installation-id",
            "client_metadata.x-codex-turn-metadata.installation_id",
            "input.arguments.password",
            "input.cookies",
        ]
    );
    let mut again = Redactor::new(Options {
        taken: highest(&redacted.bytes),
        ..Options::default()
    });
    let again = again.body(&redacted.bytes);
    assert!(matches!(again.bytes, Cow::Borrowed(_)) && again.places.is_empty());
    assert_eq!(highest(&redacted.bytes), 4);
}

#[test]
fn torn_and_foreign_texts() {
    assert_eq!(text(r#"{"api_key":"abc"#), r#"{"api_key":"<redacted:1>"#);
    assert_eq!(text(r#"{"cookies":{"a":"#), r#"{"cookies":"<redacted:1>""#);
    assert_eq!(
        text("data: {\"password\":\"x\n\ndata: {\"a\":\"b\"}\n"),
        "data: {\"password\":\"<redacted:1>\n\ndata: {\"a\":\"b\"}\n"
    );
    assert_eq!(
        text(r"{\u0022password\u0022:\u0022x\u0022}"),
        r"{\u0022password\u0022:\u0022<redacted:1>\u0022}"
    );
    assert_eq!(
        text(r#"{\n  \"password\": \n \"x\"}"#),
        r#"{\n  \"password\": \n \"<redacted:1>\"}"#
    );
    assert_eq!(
        text("curl -H 'Authorization: Bearer abc.d' 'https://h/x?api_key=k&b=1'"),
        "curl -H 'Authorization: Bearer <redacted:1>' 'https://h/x?api_key=<redacted:2>&b=1'"
    );
    assert_eq!(
        text(r"https://h/?a=1\u0026sig=abc"),
        r"https://h/?a=1\u0026sig=<redacted:1>"
    );
    assert_eq!(
        text("git clone https://u:p@h/r"),
        "git clone https://<redacted:1>@h/r"
    );
    // no number, but it shall not look like a key afterwards
    assert_eq!(
        text(r#"{"password": 1password": 2}"#),
        r#"{"password": "<redacted:1>"": 2}"#
    );
    for same in [
        r#"{"password":null,"secret":true,"api_key":"","access_token":"<redacted>"}"#,
        "authorization: Bearer $KEY",
        "my password is not json",
        r#"{"password":"#,
        r#""password""#,
        "://",
        "://@",
        "?sig=",
        "authorization",
        "\"token",
    ] {
        assert_eq!(text(same), same);
    }
}

#[test]
fn schemas_of_tools_stay() {
    for schema in [
        r#"{"type":"string"}"#,
        r#"{"type": ["string","null"]}"#,
        r#"{"description":"the \"word\"","type":"string"}"#,
        r##"{"$ref":"#/x"}"##,
        r#"{"title":"P","anyOf":[{"type":"string"}]}"#,
    ] {
        let body = format!(r#"{{"properties":{{"password":{schema},"x":{{"secret":"s"}}}}}}"#);
        let expected = body.replace(r#""s""#, r#""<redacted:1>""#);
        assert_eq!(text(&body), expected);
        let level = serde_json::to_string(&body).unwrap();
        assert_eq!(text(&level), serde_json::to_string(&expected).unwrap());
    }
    assert_eq!(
        text(r#"{"client_secret":{"value":"ek","type":"string"}}"#),
        r#"{"client_secret":"<redacted:1>"}"#
    );
    assert_eq!(
        text(r#"{"secret":{"type":"service","value":"ek"}}"#),
        r#"{"secret":"<redacted:1>"}"#
    );
}

#[test]
fn patterns_beside_the_rules() {
    let mut r = redactor(&["hush-[a-z]+", "4[0-9]+"]);
    let body = br#"{"password":"hush-a","input":"say hush-a, hush-b","n":412}"#;
    let redacted = r.body(body);
    assert_eq!(
        String::from_utf8_lossy(&redacted.bytes),
        r#"{"password":"<redacted:1>","input":"say <redacted:1>, <redacted:2>","n":"<redacted:3>"}"#
    );
    assert_eq!(redacted.places, ["password", "input", "n"]);
    assert_eq!(r.header("user-agent", "x hush-b"), "x <redacted:2>");
    assert_eq!(r.target("/v1/hush-b?x=1"), "/v1/<redacted:2>?x=1");
}

/// What the chunks become, each with its mark.
fn stream(r: &mut Redactor, mut stream: Stream<usize, Vec<u8>>, chunks: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for (mark, chunk) in chunks.iter().enumerate() {
        stream.push(r, mark, chunk.to_vec(), &mut out);
    }
    stream.finish(r, &mut out);
    assert!(out.iter().map(|it| it.0).eq(0..chunks.len()), "marks");
    out.into_iter().map(|it| it.1).collect()
}

#[test]
fn chunks_leave_at_once_and_keep_their_bytes() {
    let mut r = redactor(&[]);
    let mut s = Stream::new();
    let mut out = Vec::new();
    for (mark, chunk) in [
        "data: {\"a\":1}\n\n",
        "",
        "half a wo",
        "\u{e9}",
        ": x\n",
        "{\"x\":\"",
        "pass",
    ]
    .iter()
    .enumerate()
    {
        s.push(&mut r, mark, chunk.as_bytes().to_vec(), &mut out);
    }
    assert_eq!(out.len(), 5);
    s.push(&mut r, 7, b"word\":".to_vec(), &mut out);
    s.push(&mut r, 8, b"\"ab".to_vec(), &mut out);
    s.push(&mut r, 9, b"cd".to_vec(), &mut out);
    assert_eq!(out.len(), 8);
    s.push(&mut r, 10, b"\"}".to_vec(), &mut out);
    let last: Vec<_> = out[5..]
        .iter()
        .map(|it| String::from_utf8_lossy(&it.1).into_owned())
        .collect();
    assert_eq!(
        last,
        ["{\"x\":\"", "pass", "word\":", "\"<redacted:1>", "", "\"}"]
    );
    assert_eq!(s.held(), 0);
}

#[test]
fn with_patterns_a_line_is_held() {
    let mut r = redactor(&["a secret"]);
    let chunks: [&[u8]; 5] = [
        b"data: {\"x\":\"a se",
        b"cret\",\"y\":1}\n",
        b"\nplain a sec",
        b"ret",
        b" more",
    ];
    let out = stream(&mut r, Stream::new(), &chunks);
    let out: Vec<_> = out.iter().map(|it| String::from_utf8_lossy(it)).collect();
    assert_eq!(
        out,
        [
            "data: {\"x\":\"<redacted:1>",
            "\",\"y\":1}\n",
            "\nplain <redacted:1>",
            "",
            " more"
        ]
    );
}

#[test]
fn what_is_too_long_to_be_held_is_hidden() {
    let long = "s3cr3t ".repeat(40);
    for level in 0..3 {
        let mut text = format!(r#"{{"password":"{long}\\","after":"b"}}"#);
        for _ in 0..level {
            text = serde_json::json!({ "text": text }).to_string();
        }
        for step in [1, 3, 7, 50] {
            let chunks: Vec<&[u8]> = text.as_bytes().chunks(step).collect();
            let mut r = redactor(&[]);
            let out = stream(&mut r, Stream::with_max(64), &chunks).concat();
            let out = String::from_utf8(out).unwrap();
            assert!(!out.contains("s3cr3t") && out.contains("after"), "{out}");
            assert!(
                serde_json::from_str::<serde_json::Value>(&out).is_ok(),
                "{out}"
            );
            let mut r = redactor(&["[0-9]cr"]);
            let out = stream(&mut r, Stream::with_max(64), &chunks).concat();
            let out = String::from_utf8(out).unwrap();
            assert!(!out.contains("3cr"), "{out}");
            assert!(
                serde_json::from_str::<serde_json::Value>(&out).is_ok(),
                "{out}"
            );
        }
    }
    let plain = "x".repeat(200) + " 3cr\nnext\n";
    let mut r = redactor(&["[0-9]cr"]);
    let chunks: Vec<&[u8]> = plain.as_bytes().chunks(9).collect();
    let out = stream(&mut r, Stream::with_max(64), &chunks).concat();
    assert_eq!(String::from_utf8(out).unwrap(), "<redacted:1>\nnext\n");
}

/// Text that is full of what the scanner looks at.
fn noise() -> impl Strategy<Value = String> {
    let parts = prop::sample::select(vec![
        "\"",
        "\\",
        "\\\"",
        "\\\\\\\"",
        ":",
        "://",
        "u:p@",
        "@",
        "?",
        "&",
        "=",
        " ",
        "\n",
        "\r\n",
        "{",
        "}",
        "[",
        "]",
        ",",
        "password",
        "token",
        "access_token",
        "authorization",
        "Bearer ",
        "x-api-key",
        "abc",
        "data: ",
        "1",
        "é",
        "\\u0022",
        "\\u0026",
        "type",
        "string",
        "<redacted:1>",
        "sig=",
        "\"password\":\"",
        "\\\"secret\\\":\\\"",
        "null",
        "1",
        "description",
    ]);
    prop::collection::vec(parts, 0..40).prop_map(|parts| parts.concat())
}

/// A secret in JSON, under some key, at some depth, in JSON inside strings.
fn planted() -> impl Strategy<Value = (String, String)> {
    let key = prop::sample::select(vec![
        "password",
        "access_token",
        "Api-Key",
        "x-codex-installation-id",
        "cookies",
        "clientSecret",
        "MY_TOKEN",
    ]);
    let around = prop::collection::vec(("[a-z ]{0,6}", 0..5_u8), 0..5);
    ("S3CR3T[a-z\"\\\\é\n]{0,8}", key, 0..4_u8, around).prop_map(|(secret, key, shape, around)| {
        use serde_json::json;
        let value = match shape {
            0 | 1 => json!(secret),
            2 => json!([1, { "x": secret }]),
            _ => json!({ "x": [secret] }),
        };
        let mut value = json!({ "before": "b", key: value, "after": [1.5, "x"] });
        for (name, how) in around {
            let name = format!("k{name}");
            value = match how {
                0 => json!({ "a": 1, name: value }),
                1 => json!([name, value]),
                2 => json!({ name: serde_json::to_string_pretty(&value).unwrap() }),
                _ => json!({ name: value.to_string(), "z": null }),
            };
        }
        (value.to_string(), "S3CR3T".to_owned())
    })
}

fn chunked(text: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut cuts: Vec<usize> = cuts.iter().map(|it| it % (text.len() + 1)).collect();
    cuts.sort_unstable();
    let mut chunks = Vec::new();
    let mut from = 0;
    for cut in cuts.into_iter().chain([text.len()]) {
        chunks.push(text[from..cut].to_vec());
        from = cut;
    }
    chunks
}

proptest! {
    #[test]
    fn no_planted_secret_survives((text, secret) in planted()) {
        let mut r = redactor(&[]);
        let redacted = r.body(text.as_bytes());
        let out = String::from_utf8(redacted.bytes.into_owned()).unwrap();
        prop_assert!(!out.contains(&secret), "{}\n{}", text, out);
        prop_assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok(), "{}", out);
        prop_assert_eq!(redacted.places.len(), 1);
        // all other bytes are the same
        let (before, after) = out.split_once("<redacted:1>").unwrap();
        let before = before.trim_end_matches(['"', '\\']);
        let after = after.trim_start_matches(['"', '\\']);
        prop_assert!(text.starts_with(before) && text.ends_with(after));
        prop_assert!(after.contains("after"));
        prop_assert_eq!(r.text(out.as_bytes()), Cow::Borrowed(out.as_bytes()));
    }

    #[test]
    fn chunks_together_are_the_whole(text in noise(), cuts in prop::collection::vec(any::<usize>(), 0..12), with in any::<bool>()) {
        let patterns: &[&str] = if with { &["bc|p", "ab?"] } else { &[] };
        let whole = redactor(patterns).text(text.as_bytes()).into_owned();
        let chunks = chunked(text.as_bytes(), &cuts);
        let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
        let out = stream(&mut redactor(patterns), Stream::new(), &chunks).concat();
        let shown = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            // with patterns, line after line is numbered
            if with { Regex::new("<redacted:[0-9]+>").unwrap().replace_all(text.as_bytes(), &b"<>"[..]).into_owned() } else { text.into_bytes() }
        };
        prop_assert_eq!(String::from_utf8(shown(&out)), String::from_utf8(shown(&whole)), "{:?}", text);
    }

    #[test]
    fn twice_is_once(text in noise()) {
        let once = redactor(&[]).text(text.as_bytes()).into_owned();
        let twice = redactor(&[]).text(&once).into_owned();
        prop_assert_eq!(String::from_utf8_lossy(&twice), String::from_utf8_lossy(&once), "{:?}", text);
    }

    #[test]
    fn any_bytes_and_limits_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..60), text in noise(), cuts in prop::collection::vec(any::<usize>(), 0..12)) {
        let all = [text.as_bytes(), &bytes, text.as_bytes()].concat();
        let chunks = chunked(&all, &cuts);
        let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
        for patterns in [&[][..], &["a.c"]] {
            let _any = stream(&mut redactor(patterns), Stream::with_max(10), &chunks);
            let _any = redactor(patterns).body(&all);
        }
    }
}
