//! The parts of a URL, by the grammar of RFC 3986. They are slices of it, as they were written: nothing is decoded
//! but the campaign.

use std::borrow::Cow;

/// The path, and the query where there is one. The query has no `?`, and the fragment is left out.
pub(crate) fn path_and_query(url: &str) -> Result<(&str, Option<&str>), &'static str> {
    if url.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err("url: a space or control character should be percent-encoded");
    }
    let (url, _fragment) = split_off(url, '#');
    let (address, query) = split_off(url, '?');
    let path = match authority_and_path(address)? {
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            if authority.is_empty() {
                return Err("url: no host follows the `//`");
            }
            path
        }
        None => address,
    };
    // Whoever asks a host for no path in particular asks for its root.
    let path = if path.is_empty() { "/" } else { path };
    Ok((path, query.filter(|query| !query.is_empty())))
}

/// What follows `https://` or `//`; nothing if the address is a path already.
fn authority_and_path(address: &str) -> Result<Option<&str>, &'static str> {
    if let Some(rest) = address.strip_prefix("//") {
        return Ok(Some(rest));
    }
    if address.starts_with('/') {
        return Ok(None);
    }
    match address.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => Ok(Some(rest)),
        _ => Err("url: should begin with `/` or with a scheme such as `https://`"),
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// The first segment of a path; empty for the root.
pub(crate) fn section(path: &str) -> &str {
    let path = path.strip_prefix('/').unwrap_or(path);
    split_off(path, '/').0
}

/// The first `utm_campaign` of a query, decoded; nothing if it is empty. Bytes that are not UTF-8 become U+FFFD.
///
/// Only this pair is decoded: the others may be long, and to decode them would allocate.
pub(crate) fn campaign(query: &str) -> Option<Cow<'_, str>> {
    let is_campaign = |pair: &&str| split_off(pair, '=').0 == "utm_campaign";
    let pair = query.split('&').find(is_campaign)?;
    let (_, name) = form_urlencoded::parse(pair.as_bytes()).next()?;
    (!name.is_empty()).then_some(name)
}

/// The text before a separator, and the text after it where there is one.
fn split_off(text: &str, separator: char) -> (&str, Option<&str>) {
    match text.split_once(separator) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_url_may_be_relative_or_absolute() {
        for (url, path, query) in [
            ("/", "/", None),
            ("/a/b?c=d#e", "/a/b", Some("c=d")),
            ("/a#b?c=d", "/a", None),
            ("/a?b?c", "/a", Some("b?c")),
            ("/a?", "/a", None),
            ("https://shop.example/a?b=c", "/a", Some("b=c")),
            ("https://shop.example", "/", None),
            ("https://shop.example?b=c", "/", Some("b=c")),
            ("https://ada@shop.example:8443/a", "/a", None),
            ("//shop.example/a", "/a", None),
            ("android-app://com.example/a", "/a", None),
            (
                "/go?to=https://shop.example/a",
                "/go",
                Some("to=https://shop.example/a"),
            ),
            ("/größe", "/größe", None),
        ] {
            assert_eq!(path_and_query(url), Ok((path, query)), "{url}");
        }
    }

    #[test]
    fn a_url_without_path_and_host_is_refused() {
        for url in [
            "",
            "a/b",
            "?b=c",
            "#e",
            "mailto:ada@shop.example",
            "1a://shop.example/",
        ] {
            let error = path_and_query(url).unwrap_err();
            assert!(error.contains("should begin with `/`"), "{url}: {error}");
        }
        for url in ["//", "https://", "https:///a", "https://?b=c"] {
            assert!(
                path_and_query(url).unwrap_err().contains("no host"),
                "{url}"
            );
        }
        for url in ["/a b", "/a\n", "\t/", "/\u{7f}", "/#\0"] {
            assert!(
                path_and_query(url).unwrap_err().contains("space"),
                "{url:?}"
            );
        }
    }

    #[test]
    fn a_section_is_the_first_segment_of_the_path() {
        for (path, expected) in [
            ("/", ""),
            ("/sale", "sale"),
            ("/products/shoes", "products"),
            ("/products/", "products"),
            ("//products", ""),
        ] {
            assert_eq!(section(path), expected, "{path}");
        }
    }

    #[test]
    fn a_campaign_is_decoded_and_found_anywhere_in_the_query() {
        for (query, expected) in [
            ("utm_campaign=spring", Some("spring")),
            ("q=1&utm_campaign=black-friday&z", Some("black-friday")),
            ("utm_campaign=summer+sale%21", Some("summer sale!")),
            ("utm_campaign=a=b", Some("a=b")),
            ("utm_campaign=one&utm_campaign=two", Some("one")),
            ("utm_campaign=%ff", Some("\u{fffd}")),
            ("utm_campaign=100%", Some("100%")),
            ("utm_campaign=", None),
            ("utm_campaign", None),
            ("xutm_campaign=a&utm_campaigns=b", None),
            ("q=utm_campaign", None),
        ] {
            assert_eq!(campaign(query).as_deref(), expected, "{query}");
        }
    }

    #[test]
    fn a_campaign_that_needs_no_decoding_is_not_copied() {
        let query = "q=two+words%21&utm_campaign=spring";
        assert!(matches!(campaign(query), Some(Cow::Borrowed("spring"))));
    }

    proptest! {
        #[test]
        fn the_parts_are_found_again_in_a_url_made_of_them(
            site in "(https?://[a-z.]{1,8}(:[0-9]{1,4})?)?",
            path in "/[a-zé/%.]{0,12}",
            query in prop::option::of("[a-z=&?/%+]{1,12}"),
            fragment in prop::option::of("[a-z=&?/#]{0,8}"),
        ) {
            // Two slashes at the beginning would name a host.
            prop_assume!(!site.is_empty() || !path.starts_with("//"));
            let mut url = format!("{site}{path}");
            url.extend(query.as_ref().map(|query| format!("?{query}")));
            url.extend(fragment.map(|fragment| format!("#{fragment}")));
            prop_assert_eq!(path_and_query(&url), Ok((path.as_str(), query.as_deref())));
        }

        #[test]
        fn any_text_is_split_or_refused(url in "\\PC*", odd in "[/:?#%=& a-c]{0,12}") {
            for url in [url, odd] {
                if let Ok((path, query)) = path_and_query(&url) {
                    prop_assert!(path.starts_with('/'));
                    prop_assert!(!section(path).contains('/'));
                    prop_assert!(query.and_then(campaign).is_none_or(|name| !name.is_empty()));
                }
            }
        }
    }
}
