//! Which upstream a request is for.

use hyper::Uri;
use hyper::http::uri::{Authority, Scheme};
use thiserror::Error;

use super::ProxyError;

/// An endpoint that is forwarded to: a scheme, an authority and the prefix of its paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    tls: bool,
    authority: Authority,
    prefix: String,
}

/// Why a text is no base URL.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum UpstreamError {
    /// It does not parse.
    #[error("{0:?} is no URL")]
    NoUrl(String),
    /// It has another scheme, or none.
    #[error("{0:?} does not begin with http:// or https://")]
    Scheme(String),
    /// It has a query; a base URL ends with its path.
    #[error("{0:?} has a query; a base URL ends with its path")]
    Query(String),
    /// It holds a user name or a password.
    #[error("{0} names a user; put credentials into a header")]
    User(String),
}

impl Upstream {
    /// Reads a base URL such as `https://api.openai.com/v1`.
    ///
    /// # Errors
    /// See [`UpstreamError`].
    pub fn parse(text: &str) -> Result<Self, UpstreamError> {
        let text = text.trim();
        let uri: Uri = text
            .parse()
            .map_err(|_no_detail| UpstreamError::NoUrl(text.to_owned()))?;
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(UpstreamError::Scheme(text.to_owned())),
        };
        let authority = uri
            .authority()
            .cloned()
            .ok_or_else(|| UpstreamError::NoUrl(text.to_owned()))?;
        if uri.query().is_some() {
            return Err(UpstreamError::Query(text.to_owned()));
        }
        if authority.as_str().contains('@') {
            return Err(UpstreamError::User("the URL".to_owned()));
        }
        Ok(Self {
            tls,
            authority,
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// Whether it speaks TLS.
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// Its host, with the port where the URL names one.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Its host.
    pub fn host(&self) -> &str {
        self.authority.host()
    }

    /// Whether it is this machine: `localhost`, `127.0.0.0/8` or `::1`. Other names are not looked up.
    pub fn is_loopback(&self) -> bool {
        let host = self.host().trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost")
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }

    /// What its paths begin with; empty if they may be anything.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority, self.prefix)
    }

    /// Whether a request for `path` is for it.
    pub fn takes(&self, path: &str) -> bool {
        path.strip_prefix(self.prefix.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// The upstreams, the longest prefix first.
pub(super) fn sorted(mut upstreams: Vec<Upstream>) -> Result<Vec<Upstream>, ProxyError> {
    upstreams.dedup();
    upstreams.sort_by_key(|it| std::cmp::Reverse(it.prefix.len()));
    let same = upstreams.windows(2).find_map(|pair| match pair {
        [left, right] if left.prefix == right.prefix => Some(left.prefix.clone()),
        _ => None,
    });
    match same {
        Some(prefix) if prefix.is_empty() => Err(ProxyError::SamePrefix("/".to_owned())),
        Some(prefix) => Err(ProxyError::SamePrefix(prefix)),
        None if upstreams.is_empty() => Err(ProxyError::NoUpstream),
        None => Ok(upstreams),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(text: &str) -> Upstream {
        Upstream::parse(text).unwrap()
    }

    #[test]
    fn a_base_url_is_a_scheme_an_authority_and_a_prefix() {
        let it = upstream("https://api.example.com:8443/v1/");
        assert!(it.tls());
        assert_eq!(it.authority().as_str(), "api.example.com:8443");
        assert_eq!(it.prefix(), "/v1");
        assert_eq!(it.url(), "https://api.example.com:8443/v1");
        assert_eq!(upstream("http://[::1]:80").prefix(), "");
        for (text, error) in [
            ("example.com/v1", "url"),
            ("example.com", "scheme"),
            ("ftp://example.com/", "scheme"),
            ("https://example.com/v1?key=1", "query"),
            ("https://u:p@example.com/v1", "user"),
            ("https://", "url"),
            ("", "url"),
        ] {
            let found = match Upstream::parse(text) {
                Err(UpstreamError::Scheme(_)) => "scheme",
                Err(UpstreamError::Query(_)) => "query",
                Err(UpstreamError::User(text)) => {
                    assert!(!text.contains('p'), "a password is not repeated: {text}");
                    "user"
                }
                Err(UpstreamError::NoUrl(_)) => "url",
                Ok(_) => "fine",
            };
            assert_eq!(found, error, "{text}");
        }
    }

    #[test]
    fn a_path_belongs_to_the_longest_prefix_and_only_at_a_slash() {
        let all = sorted(vec![
            upstream("http://a/v1"),
            upstream("http://b/v1/deep"),
            upstream("http://c/other"),
        ])
        .unwrap();
        let find = |path: &str| all.iter().find(|it| it.takes(path)).map(Upstream::host);
        assert_eq!(find("/v1/responses"), Some("a"));
        assert_eq!(find("/v1"), Some("a"));
        assert_eq!(find("/v1/deep/x"), Some("b"));
        assert_eq!(find("/v10/x"), None);
        assert_eq!(find("/"), None);
        let twice = sorted(vec![upstream("http://a/v1"), upstream("http://b/v1/")]);
        assert!(matches!(twice, Err(ProxyError::SamePrefix(prefix)) if prefix == "/v1"));
        assert!(matches!(sorted(Vec::new()), Err(ProxyError::NoUpstream)));
    }
}
