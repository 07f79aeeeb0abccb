//! Where tensors live and in which precision they are multiplied.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind};

use crate::{Error, Result};

/// `auto`, `cpu`, `cuda` or `cuda:1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// A CUDA device where there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A CUDA device by number.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            other => other
                .strip_prefix("cuda:")
                .and_then(|n| n.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| format!("expected auto, cpu, cuda or cuda:N, found `{other}`")),
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        choice.to_string()
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
        }
    }
}

impl JsonSchema for DeviceChoice {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DeviceChoice".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(auto|cpu|cuda(:[0-9]+)?)$" })
    }
}

impl DeviceChoice {
    /// The device to use here and now.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when CUDA is asked for and there is none, or not so many devices.
    pub fn resolve(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Auto => Ok(if cuda_devices() > 0 {
                Device::Cuda(0)
            } else {
                Device::Cpu
            }),
            Self::Cuda(n) => match cuda_devices() {
                0 => Err(Error::Unavailable(format!(
                    "device `{self}` asked for, but no CUDA device can be used here; \
                     `szar doctor` shows why, `device: auto` takes the CPU instead"
                ))),
                count if n >= count => Err(Error::Unavailable(format!(
                    "device `{self}` asked for, there are {count} CUDA devices"
                ))),
                _ => Ok(Device::Cuda(n)),
            },
        }
    }
}

/// How many CUDA devices libtorch can use. The first call loads libtorch's CUDA part when the process can find it.
pub fn cuda_devices() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| {
        load_cuda_backend();
        usize::try_from(tch::Cuda::device_count()).unwrap_or(0)
    })
}

/// Registers libtorch's CUDA backend if `libtorch_cuda.so` of the same libtorch can be found: beside the
/// libtorch in use, or on the dynamic linker's search path. A CPU-only installation has none, and that is fine.
#[expect(unsafe_code, reason = "loading a library runs its initialisers")]
fn load_cuda_backend() {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let beside = maps
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .find(|path| path.ends_with("/libtorch_cpu.so"))
        .map(|path| path.replace("libtorch_cpu.so", "libtorch_cuda.so"))
        .filter(|path| std::path::Path::new(path).exists());
    let name = beside.unwrap_or_else(|| "libtorch_cuda.so".into());
    // SAFETY: libtorch_cuda is libtorch's own backend; its initialisers only register kernels with the libtorch
    // already in this process. It is never unloaded (the handle is forgotten).
    match unsafe { Library::open(Some(&name), RTLD_NOW | RTLD_GLOBAL) } {
        Ok(library) => std::mem::forget(library),
        Err(error) => tracing::debug!(%error, "no CUDA backend"),
    }
}

/// Arithmetic of the matrix products and convolutions of encoders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// `bf16` where the device multiplies it at least as fast as f32, else `f32`.
    #[default]
    Auto,
    /// 32-bit floats throughout.
    F32,
    /// bfloat16 products with 32-bit weights and optimiser ("autocast").
    Bf16,
}

impl Precision {
    /// The kind of the products on a device: `Float` or `BFloat16`.
    pub fn resolve(self, device: Device) -> Kind {
        let native = match device {
            Device::Cpu => cpu_has_bf16(),
            Device::Cuda(_) => true,
            _ => false,
        };
        match self {
            Self::F32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
            Self::Auto if native => Kind::BFloat16,
            Self::Auto => Kind::Float,
        }
    }
}

/// Does this processor multiply bfloat16 natively?
pub fn cpu_has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx512bf16")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_survive_text_and_back() {
        for text in ["auto", "cpu", "cuda:0", "cuda:3"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        assert!("gpu".parse::<DeviceChoice>().is_err());
    }

    #[test]
    fn cuda_where_there_is_none_is_refused_with_advice() {
        if cuda_devices() == 0 {
            let error = DeviceChoice::Cuda(0).resolve().unwrap_err().to_string();
            assert!(error.contains("no CUDA device"), "{error}");
        }
    }
}
