//! Where a visitor comes from, and how much one may ask.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;

/// A proxy whose word on the visitor's address is taken: an address, or a network as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrustedProxy {
    network: u128,
    mask: u128,
}

/// What a proxy is not.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no proxy; expected an address or a network, as 10.0.0.1 or 10.0.0.0/8")]
pub struct ProxyError(String);

impl FromStr for TrustedProxy {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        let wrong = || ProxyError(text.to_owned());
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits: u32 = bits.map_or(Ok(width), str::parse).map_err(|_| wrong())?;
        if bits > width {
            return Err(wrong());
        }
        let host = width - bits;
        let mask = if host == 128 { 0 } else { u128::MAX << host };
        Ok(Self { network: number(address) & mask, mask })
    }
}

impl TrustedProxy {
    fn holds(self, address: IpAddr) -> bool {
        number(address) & self.mask == self.network
    }
}

/// IPv4 addresses as they are mapped into IPv6.
fn number(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// Of IPv6 the first half, for the other belongs to one household.
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 => v4,
    }
}

/// The visitor's address: that of the connection, or, where it comes from a trusted proxy, the last one
/// in `X-Forwarded-For` that no trusted proxy put its own name to. What a visitor writes there comes
/// before and is not believed.
pub fn address(peer: SocketAddr, headers: &HeaderMap, trusted: &[TrustedProxy]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|proxy| proxy.holds(address));
    let mut found = peer.ip();
    if !is_trusted(found) {
        return found;
    }
    let lines = headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok());
    let hops: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
    for hop in hops.into_iter().rev() {
        let Ok(address) = hop.parse() else { break };
        found = address;
        if !is_trusted(address) {
            break;
        }
    }
    found
}

/// How often one address may do something: `burst` times at once, then `per_minute`.
#[derive(Debug)]
pub struct RateLimit {
    per_minute: u32,
    burst: u32,
    visitors: Mutex<HashMap<IpAddr, (f64, Instant)>>,
}

/// Visitors that are kept in mind before those who may do all again are forgotten.
const MANY: usize = 10_000;

impl RateLimit {
    /// A limit; 0 a minute is none.
    pub fn new(per_minute: u32) -> Self {
        Self { per_minute, burst: per_minute.max(1), visitors: Mutex::default() }
    }

    /// Takes one from what the address may do.
    ///
    /// # Errors
    /// How long to wait.
    pub fn take(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        if self.per_minute == 0 {
            return Ok(());
        }
        let address = household(address);
        let (rate, burst) = (f64::from(self.per_minute) / 60.0, f64::from(self.burst));
        let mut visitors = self.visitors.lock().unwrap_or_else(PoisonError::into_inner);
        let refill = |(left, then): (f64, Instant)| {
            (left + now.saturating_duration_since(then).as_secs_f64() * rate).min(burst)
        };
        if visitors.len() >= MANY {
            visitors.retain(|_, state| refill(*state) < burst);
        }
        let left = visitors.get(&address).map_or(burst, |state| refill(*state));
        if left < 1.0 {
            visitors.insert(address, (left, now));
            return Err(Duration::from_secs_f64((1.0 - left) / rate));
        }
        visitors.insert(address, (left - 1.0, now));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        let trusted: Vec<TrustedProxy> = trusted.iter().map(|proxy| proxy.parse().unwrap()).collect();
        address(format!("{peer}:1").parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn forwarded_addresses_are_believed_from_named_proxies_only() {
        assert_eq!(seen("198.51.100.1", &["203.0.113.7"], &[]), "198.51.100.1");
        assert_eq!(seen("10.0.0.1", &["203.0.113.7"], &["10.0.0.0/8"]), "203.0.113.7");
        // What the visitor claimed stands before what the proxy saw.
        assert_eq!(seen("10.0.0.1", &["1.2.3.4, 203.0.113.7"], &["10.0.0.1"]), "203.0.113.7");
        assert_eq!(seen("10.0.0.1", &["1.2.3.4", "203.0.113.7, 10.0.0.2"], &["10.0.0.0/8"]), "203.0.113.7");
        assert_eq!(seen("10.0.0.1", &["nonsense"], &["10.0.0.0/8"]), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &[], &["10.0.0.0/8"]), "10.0.0.1");
    }

    #[test]
    fn proxies_are_addresses_and_networks() {
        for wrong in ["", "proxy", "10.0.0.0/33", "10.0.0.0/x", "10.0.0/8"] {
            assert!(wrong.parse::<TrustedProxy>().is_err(), "{wrong}");
        }
        let all: TrustedProxy = "::/0".parse().unwrap();
        assert!(all.holds("2001:db8::1".parse().unwrap()));
        let one: TrustedProxy = "192.0.2.1".parse().unwrap();
        assert!(one.holds("::ffff:192.0.2.1".parse().unwrap()) && !one.holds("192.0.2.2".parse().unwrap()));
    }

    #[test]
    fn a_household_of_ipv6_is_one_visitor() {
        let limit = RateLimit::new(1);
        let now = Instant::now();
        limit.take("2001:db8::1".parse().unwrap(), now).unwrap();
        assert!(limit.take("2001:db8::2".parse().unwrap(), now).is_err());
        limit.take("2001:db8:0:1::1".parse().unwrap(), now).unwrap();
        limit.take("::ffff:192.0.2.1".parse().unwrap(), now).unwrap();
        assert!(limit.take("192.0.2.1".parse().unwrap(), now).is_err());
    }

    #[test]
    fn a_visitor_waits_and_others_do_not() {
        let limit = RateLimit::new(6);
        let (one, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let start = Instant::now();
        for _ in 0..6 {
            limit.take(one, start).unwrap();
        }
        assert_eq!(limit.take(one, start).unwrap_err().as_secs(), 10);
        limit.take(other, start).unwrap();
        limit.take(one, start + Duration::from_secs(10)).unwrap();
        assert!(limit.take(one, start + Duration::from_secs(11)).is_err());
        let none = RateLimit::new(0);
        assert!((0..1000).all(|_| none.take(one, start).is_ok()));
    }
}
