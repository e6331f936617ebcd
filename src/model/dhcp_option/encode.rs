//! The value of an option as bytes, or the mistake in it.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};

use super::{DhcpOptionKey, DhcpOptionSetting, DhcpOptionType};
use crate::model::{List, OptionText, SourceSpan, Spanned, Subnet};

/// The largest value of an option in bytes (RFC 2132 section 2). Longer ones need RFC 3396, which not every client supports.
pub const MAX_OPTION_BYTES: usize = 255;

/// An option as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteOption {
    pub code: u8,
    pub value: SiteOptionValue,
    /// Whether it is sent to clients that do not request it, too.
    pub always: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SiteOptionValue {
    Bytes(Vec<u8>),
    /// Destinations with their next hops. The answer adds the default route and routes to next hops outside of the subnet.
    Routes(Vec<(Ipv4Net, Ipv4Addr)>),
}

/// A mistake in a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhcpOptionError {
    pub message: String,
    pub help: Option<String>,
    pub span: SourceSpan,
}

impl DhcpOptionSetting {
    /// Whether a value is written in any form.
    pub fn has_value(&self) -> bool {
        let lists = self.value.is_some() || self.address.is_some();
        let numbers = self.u8.is_some() || self.u16.is_some() || self.u32.is_some();
        lists || numbers || self.text.is_some() || self.hex.is_some()
    }

    /// Returns the option with its value as it is sent. `span` is that of the whole setting.
    pub fn encode(
        &self,
        key: &DhcpOptionKey,
        span: SourceSpan,
    ) -> Result<SiteOption, DhcpOptionError> {
        let forms = self.forms(key)?;
        let (value_span, value) = match <[_; 1]>::try_from(forms) {
            Ok([form]) => form,
            Err(forms) => return Err(not_one_form(key, forms.get(1).map_or(span, |form| form.0))),
        };
        if let SiteOptionValue::Bytes(bytes) = &value {
            check_length(key, bytes, value_span)?;
        }
        Ok(SiteOption {
            code: key.code,
            value,
            always: self.always.as_ref().is_some_and(|at| at.value),
        })
    }

    /// Returns each form in which the value is written.
    fn forms(
        &self,
        key: &DhcpOptionKey,
    ) -> Result<Vec<(SourceSpan, SiteOptionValue)>, DhcpOptionError> {
        let mut forms = Vec::new();
        let mut add = |span, bytes| forms.push((span, SiteOptionValue::Bytes(bytes)));
        if let Some(text) = &self.text {
            add(text.span, text.value.clone().into_bytes());
        }
        if let Some(hex) = &self.hex {
            let bytes = hex_bytes(&hex.value);
            let bytes = bytes.ok_or_else(|| invalid(key, hex, DhcpOptionType::Bytes));
            add(hex.span, bytes?);
        }
        if let Some(list) = &self.address {
            add(list.span, joined(list, |address| address.octets()));
        }
        if let Some(list) = &self.u8 {
            add(list.span, joined(list, |number| [*number]));
        }
        if let Some(list) = &self.u16 {
            add(list.span, joined(list, |number| number.to_be_bytes()));
        }
        if let Some(list) = &self.u32 {
            add(list.span, joined(list, |number| number.to_be_bytes()));
        }
        if let Some(list) = &self.value {
            forms.push((list.span, typed(key, list)?));
        }
        Ok(forms)
    }
}

fn not_one_form(key: &DhcpOptionKey, span: SourceSpan) -> DhcpOptionError {
    DhcpOptionError {
        message: format!("DHCP option `{key}` needs exactly one value"),
        help: Some(format!(
            "set one of {FORMS}{}",
            match key.value_type() {
                Some(_) => ", `value`",
                None => "",
            }
        )),
        span,
    }
}

const FORMS: &str = "`text`, `hex`, `address`, `u8`, `u16`, `u32`";

fn check_length(
    key: &DhcpOptionKey,
    bytes: &[u8],
    span: SourceSpan,
) -> Result<(), DhcpOptionError> {
    let message = match bytes.len() {
        0 => format!("the value of DHCP option `{key}` is empty"),
        1..=MAX_OPTION_BYTES => return Ok(()),
        long => format!(
            "the value of DHCP option `{key}` has {long} bytes: an option holds {MAX_OPTION_BYTES}"
        ),
    };
    Err(DhcpOptionError {
        message,
        help: None,
        span,
    })
}

fn joined<T, const N: usize>(list: &List<T>, bytes: impl Fn(&T) -> [u8; N]) -> Vec<u8> {
    list.values().flat_map(bytes).collect()
}

/// Reads values of the type that the option has in the table.
fn typed(key: &DhcpOptionKey, list: &List<OptionText>) -> Result<SiteOptionValue, DhcpOptionError> {
    let Some(value_type) = key.value_type() else {
        return Err(DhcpOptionError {
            message: format!("DHCP option `{key}` has no name, so its value needs a type"),
            help: Some(format!("set one of {FORMS}, such as {{ text = \"…\" }}")),
            span: list.span,
        });
    };
    if let (true, Some(second)) = (value_type.is_single(), list.value.get(1)) {
        return Err(invalid(key, second, value_type));
    }
    if value_type == DhcpOptionType::Routes {
        let routes = list.value.iter().map(|at| route(key, at));
        return routes
            .collect::<Result<_, _>>()
            .map(SiteOptionValue::Routes);
    }
    let mut bytes = Vec::new();
    if value_type == DhcpOptionType::SipServers {
        // RFC 3361 section 3: 0 before domains, 1 before addresses.
        let first = list.values().next();
        bytes.push(
            first
                .is_some_and(|text| address(text.as_str()).is_some())
                .into(),
        );
    }
    for at in &list.value {
        let encoded = match (value_type, bytes.first()) {
            (DhcpOptionType::SipServers, Some(0)) => domain(at.as_str()),
            _ => value_type.encode(at.as_str()),
        };
        bytes.extend(encoded.ok_or_else(|| invalid(key, at, value_type))?);
    }
    Ok(SiteOptionValue::Bytes(bytes))
}

fn invalid<T: AsRef<str>>(
    key: &DhcpOptionKey,
    at: &Spanned<T>,
    expected: DhcpOptionType,
) -> DhcpOptionError {
    let help = match expected {
        DhcpOptionType::Bytes => Some("such as \"01:a4:00\""),
        DhcpOptionType::AddressPairs => Some("such as \"192.0.2.0 255.255.255.0\""),
        DhcpOptionType::Routes => Some("such as \"10.0.0.0/8 via 192.0.2.2\""),
        _ => None,
    };
    DhcpOptionError {
        message: format!(
            "`{}` is not a value of DHCP option `{key}`: expected {expected}",
            at.value.as_ref().escape_debug()
        ),
        help: help.map(String::from),
        span: at.span,
    }
}

impl AsRef<str> for OptionText {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl DhcpOptionType {
    /// Returns whether an option of this type has one value, not a list.
    fn is_single(self) -> bool {
        use DhcpOptionType::{AddressPairs, Addresses, Domains, Numbers16, Routes, SipServers};
        let is_list = matches!(
            self,
            Addresses | AddressPairs | Numbers16(_) | Domains | SipServers | Routes
        );
        !is_list
    }

    /// Encodes one value.
    fn encode(self, text: &str) -> Option<Vec<u8>> {
        use DhcpOptionType as Type;
        Some(match self {
            Type::Address | Type::Addresses | Type::SipServers => address(text)?.octets().into(),
            Type::AddressPairs => {
                let (first, second) = text.split_once(' ')?;
                let mask: Ipv4Addr = second.trim().parse().ok()?;
                [address(first)?.octets(), mask.octets()].concat()
            }
            Type::Number8(min) => text
                .parse()
                .ok()
                .filter(|n: &u8| *n >= min)?
                .to_be_bytes()
                .into(),
            Type::Number16(min) | Type::Numbers16(min) => text
                .parse()
                .ok()
                .filter(|n: &u16| *n >= min)?
                .to_be_bytes()
                .into(),
            Type::Number32 => text.parse::<u32>().ok()?.to_be_bytes().into(),
            Type::Integer32 => text.parse::<i32>().ok()?.to_be_bytes().into(),
            Type::Boolean => vec![text.parse::<bool>().ok()?.into()],
            Type::Text => {
                let is_plain = !text.is_empty() && !text.contains(char::is_control);
                is_plain.then(|| text.as_bytes().to_vec())?
            }
            Type::Bytes => hex_bytes(text)?,
            Type::Domain | Type::Domains => domain(text)?,
            // They have a value of their own.
            Type::Routes => return None,
        })
    }
}

fn address(text: &str) -> Option<Ipv4Addr> {
    let address = text.parse().ok();
    address.filter(|ip: &Ipv4Addr| !ip.is_unspecified() && !ip.is_broadcast())
}

/// Encodes a domain as in DNS (RFC 1035 section 3.1).
fn domain(text: &str) -> Option<Vec<u8>> {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let mut bytes = Vec::new();
    for label in text.strip_suffix('.').unwrap_or(text).split('.') {
        let is_label = (1..=63).contains(&label.len()) && label.bytes().all(is_inner);
        bytes.push(is_label.then_some(label.len() as u8)?);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    (bytes.len() <= 255).then_some(bytes)
}

/// Reads pairs of hexadecimal digits, with or without separators: `01:a4`, `01 a4`, `01-a4`, `01a4`.
fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<char> = match text.split([':', '-', ' ']).collect::<Vec<_>>().as_slice() {
        [whole] => whole.chars().collect(),
        pairs if pairs.iter().all(|pair| pair.chars().count() == 2) => {
            pairs.concat().chars().collect()
        }
        _ => return None,
    };
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some((high.to_digit(16)? << 4 | low.to_digit(16)?) as u8),
        _ => None,
    });
    pairs.collect()
}

/// Reads `10.0.0.0/8 via 192.0.2.2`. The next hop 0.0.0.0 means that the destination is on the link.
fn route(
    key: &DhcpOptionKey,
    at: &Spanned<OptionText>,
) -> Result<(Ipv4Net, Ipv4Addr), DhcpOptionError> {
    let wrong = || invalid(key, at, DhcpOptionType::Routes);
    let (to, via) = at.as_str().split_once(" via ").ok_or_else(wrong)?;
    let to: Subnet = to.trim().parse().map_err(|_| wrong())?;
    let via: Ipv4Addr = via.trim().parse().map_err(|_| wrong())?;
    match to.0 {
        IpNet::V4(to) if !via.is_broadcast() => Ok((to, via)),
        _ => Err(wrong()),
    }
}
