//! The devices that products can run on: how one is named, and what is known of one.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What `--device` and `run.device` say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Device {
    /// `cpu`.
    #[default]
    Cpu,
    /// `cuda:N`, or `cuda` for the first: an NVIDIA GPU multiplies, the CPU does the rest.
    Cuda(u32),
    /// `auto`: the first GPU if there is one that can be used, else the CPU.
    Auto,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => write!(f, "cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::Auto => write!(f, "auto"),
        }
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?;
        match text.split_once(':') {
            None if text == "cpu" => Some(Self::Cpu),
            None if text == "cuda" => Some(Self::Cuda(0)),
            None if text == "auto" => Some(Self::Auto),
            Some(("cuda", digits)) => number(digits).map(Self::Cuda),
            _ => None,
        }
        .ok_or_else(|| format!("expected cpu, cuda, cuda:N or auto, found {text}"))
    }
}

impl TryFrom<String> for Device {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Device> for String {
    fn from(device: Device) -> Self {
        device.to_string()
    }
}

/// A GPU that the driver knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gpu {
    /// As `--device` names it.
    pub device: Device,
    /// As its maker names it.
    pub name: String,
    /// Its memory.
    pub memory_bytes: u64,
    /// Compute capability: `[9, 0]`.
    pub capability: [i32; 2],
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (gib, [major, minor]) = (self.memory_bytes as f64 / (1u64 << 30) as f64, self.capability);
        write!(f, "{}: {}, {gib:.1} GiB, compute capability {major}.{minor}", self.device, self.name)
    }
}
