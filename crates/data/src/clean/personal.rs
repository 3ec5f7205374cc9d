//! Personal data: e-mail addresses, telephone numbers, keys and postal or network addresses.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use super::pattern::pattern;

/// What is masked, in the order in which it is looked for, each by what stands in its place.
static KINDS: LazyLock<[(&'static str, Regex); 6]> = LazyLock::new(|| {
    [
        // Private keys, keys of cloud services and code hosts by the prefixes that these give them, and
        // signed web tokens.
        (
            "key",
            pattern(
                r"(?s:-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----)|\b(?:sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{22,}|glpat-[\w-]{20,}|hf_[A-Za-z0-9]{30,}|AKIA[A-Z0-9]{16}|AIza[\w-]{35}|xox[abprs]-[\w-]{10,}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,})",
            ),
        ),
        ("email", pattern(r"\b[A-Za-z0-9._%+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,24}\b")),
        // Numbers in groups, with a country or area code; dates and plain numbers are none.
        (
            "phone",
            pattern(
                r"(?:\+\d{1,3}[ .-]?)(?:\(?\d{1,4}\)?[ .-]?){2,4}\d{2,4}\b|\(\d{3,4}\) ?\d{3,4}[ .-]\d{4}\b|\b\d{3}[.-]\d{3}[.-]\d{4}\b",
            ),
        ),
        ("ip", pattern(r"\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b")),
        (
            "address",
            pattern(
                r"\b\d{1,5} (?:[NSEW]\.? )?(?:[A-Z][a-z]+ ){1,3}(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Square|Sq|Place|Pl|Terrace|Way)\b\.?(?:,? (?:Apt|Suite|Unit)\.? ?\w+)?",
            ),
        ),
        (
            "address",
            pattern(r"\b[A-ZÄÖÜ][\wäöüß-]+(?:straße|strasse|str\.|weg|platz|allee|gasse) \d{1,4}[a-z]?\b"),
        ),
    ]
});

/// How many places of each kind were masked.
pub(super) type Masked = BTreeMap<&'static str, u64>;

/// The text with `[email]`, `[phone]`, `[key]`, `[ip]` or `[address]` in the places of what was found.
pub(super) fn mask(text: &str, masked: &mut Masked) -> String {
    let mut text = text.to_owned();
    for (kind, regex) in KINDS.iter() {
        if !regex.is_match(&text) {
            continue;
        }
        let mut count = 0;
        let replaced = regex.replace_all(&text, |found: &regex::Captures| {
            if *kind == "ip" && is_nobodys(&found[0]) {
                return found[0].to_owned();
            }
            count += 1;
            format!("[{kind}]")
        });
        text = replaced.into_owned();
        if count > 0 {
            *masked.entry(*kind).or_default() += count;
        }
    }
    text
}

/// Network addresses that are nobody's in particular: this machine, home networks, documentation; and
/// what is more often the number of a version.
fn is_nobodys(address: &str) -> bool {
    address.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| {
        ip.is_loopback()
            || ip.is_private()
            || ip.is_unspecified()
            || ip.is_broadcast()
            || ip.is_documentation()
            || ip.octets()[0] < 2
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn personal_data_are_masked_and_counted() {
        let mut masked = Masked::new();
        let text = "Write to jo.doe+x@mail.example.org or call +49 (0)30 1234-5678 or (555) 123-4567; sk-abcdefghijklmnopqrstuvwx, \
                    8.8.8.8, 12 Old Mill Road, Apt 4 or Hauptstraße 5a.";
        let expected = "Write to [email] or call [phone] or [phone]; [key], [ip], [address] or [address].";
        assert_eq!(mask(text, &mut masked), expected);
        assert_eq!(masked, Masked::from([("email", 1), ("phone", 2), ("key", 1), ("ip", 1), ("address", 2)]));
    }

    #[test]
    fn numbers_dates_and_code_stay() {
        let text = "On 2023-04-05 at 12:30, 192.168.0.1 and 127.0.0.1 answered 1234567890 times: x = a@b; version 1.2.3.4; \
                    3.14159265, 10 000 000, array[12-3], the 5 Best Ways.";
        let mut masked = Masked::new();
        assert_eq!(mask(text, &mut masked), text);
        assert!(masked.is_empty());
    }
}
