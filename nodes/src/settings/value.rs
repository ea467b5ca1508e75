//! Values of settings: from TOML or from text, to the type that the setting has.

use super::{
    LogFilter, LogFormat, MetricsListen, SNAPSHOT_ENTRIES_MAX, SNAPSHOT_ENTRIES_MIN, UDP_PAYLOAD_BYTES_MAX,
    UDP_PAYLOAD_BYTES_MIN,
};
use dfs_core::id::NodeId;
use dfs_core::unit::ByteCount;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// A value as it was given.
pub enum Value {
    /// A text; variables and flags are always texts.
    Text(String),
    /// A whole number, as TOML has them.
    Number(i64),
    /// A list of texts.
    List(Vec<String>),
    /// Anything else, shown as TOML writes it.
    Other(String),
}

/// The value does not fit its setting; what would fit stands in the list of settings.
pub struct Wrong;

impl Value {
    /// The value that a settings file has.
    pub fn from_toml(value: toml::Value) -> Value {
        match value {
            toml::Value::String(text) => Value::Text(text),
            toml::Value::Integer(number) => Value::Number(number),
            toml::Value::Array(items) => {
                let texts = items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
                texts.map_or_else(|| Value::Other(toml::Value::Array(items).to_string()), Value::List)
            }
            other => Value::Other(other.to_string()),
        }
    }

    /// The value as an error message shows it.
    pub fn shown(&self) -> String {
        match self {
            Value::Text(text) | Value::Other(text) => text.replace('\n', " "),
            Value::Number(number) => number.to_string(),
            Value::List(items) => items.join(", "),
        }
    }

    fn text(&self) -> Result<&str, Wrong> {
        match self {
            Value::Text(text) => Ok(text.trim()),
            _ => Err(Wrong),
        }
    }

    fn number(&self) -> Result<u64, Wrong> {
        match self {
            Value::Number(number) => u64::try_from(*number).map_err(|_| Wrong),
            Value::Text(text) => text.trim().parse().map_err(|_| Wrong),
            _ => Err(Wrong),
        }
    }
}

fn parsed<T: FromStr>(text: &str) -> Result<T, Wrong> {
    text.parse().map_err(|_| Wrong)
}

pub fn node_id(value: &Value) -> Result<NodeId, Wrong> {
    value.number().and_then(|number| if number == 0 { Err(Wrong) } else { Ok(NodeId(number)) })
}

pub fn address(value: &Value) -> Result<SocketAddr, Wrong> {
    parsed(value.text()?)
}

pub fn addresses(value: &Value) -> Result<Vec<SocketAddr>, Wrong> {
    let addresses: Vec<SocketAddr> = match value {
        Value::List(items) => items.iter().map(|item| parsed(item.trim())).collect::<Result<_, _>>()?,
        _ => value.text()?.split(',').map(|item| parsed(item.trim())).collect::<Result<_, _>>()?,
    };
    let reachable = |address: &SocketAddr| address.port() != 0 && !address.ip().is_unspecified();
    if addresses.is_empty() || !addresses.iter().all(reachable) { Err(Wrong) } else { Ok(addresses) }
}

pub fn path(value: &Value) -> Result<PathBuf, Wrong> {
    match value {
        // Spaces at the ends of a path may be meant.
        Value::Text(text) if !text.is_empty() => Ok(PathBuf::from(text)),
        _ => Err(Wrong),
    }
}

pub fn byte_count(value: &Value) -> Result<ByteCount, Wrong> {
    match value {
        Value::Number(_) => value.number().map(ByteCount),
        _ => parsed(value.text()?),
    }
}

pub fn udp_payload(value: &Value) -> Result<u16, Wrong> {
    let bytes = u16::try_from(value.number()?).map_err(|_| Wrong)?;
    if (UDP_PAYLOAD_BYTES_MIN..=UDP_PAYLOAD_BYTES_MAX).contains(&bytes) { Ok(bytes) } else { Err(Wrong) }
}

pub fn snapshot_entries(value: &Value) -> Result<u64, Wrong> {
    let entries = value.number()?;
    if (SNAPSHOT_ENTRIES_MIN..=SNAPSHOT_ENTRIES_MAX).contains(&entries) { Ok(entries) } else { Err(Wrong) }
}

pub fn metrics_listen(value: &Value) -> Result<MetricsListen, Wrong> {
    match value.text()? {
        "off" => Ok(MetricsListen::Off),
        text => parsed(text).map(MetricsListen::At),
    }
}

pub fn log_filter(value: &Value) -> Result<LogFilter, Wrong> {
    parsed(value.text()?)
}

pub fn log_format(value: &Value) -> Result<LogFormat, Wrong> {
    match value.text()? {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(Wrong),
    }
}
