//! Reading an adapter's state back: every entry by name, with its shape and range checked.

use szar_core::{Error, NamedTensors, Result, host};
use tch::{Device, Kind, Tensor};

/// A state that is being read.
pub(crate) struct Saved {
    adapter: &'static str,
    entries: NamedTensors,
}

impl Saved {
    pub fn new(adapter: &'static str, entries: NamedTensors) -> Self {
        Self { adapter, entries }
    }

    /// An entry of this shape; `None` allows any size.
    pub fn take(&mut self, name: &str, want: &[Option<usize>]) -> Result<Tensor> {
        let found = self.entries.remove(name);
        let found =
            found.ok_or_else(|| Error::Missing(format!("`{name}` in the state of {}", self.adapter)))?;
        let got = found.size();
        let fits = |(got, want): (&i64, &Option<usize>)| want.is_none_or(|w| w as i64 == *got);
        if got.len() == want.len() && got.iter().zip(want).all(fits) {
            return Ok(found);
        }
        let sizes: Vec<_> = want
            .iter()
            .map(|w| w.map_or("_".into(), |w| w.to_string()))
            .collect();
        Err(Error::Shape {
            what: format!("state `{name}` of {}", self.adapter),
            got,
            want: format!("[{}]", sizes.join(", ")),
        })
    }

    /// As f32.
    pub fn floats(&mut self, name: &str, want: &[Option<usize>]) -> Result<Vec<f32>> {
        Ok(host::HostF32::new(&self.take(name, want)?).as_slice().to_vec())
    }

    /// As f64.
    pub fn doubles(&mut self, name: &str, want: &[Option<usize>]) -> Result<Vec<f64>> {
        let flat = self
            .take(name, want)?
            .to_device(Device::Cpu)
            .to_kind(Kind::Double);
        Ok(Vec::<f64>::try_from(flat.reshape([-1]).contiguous())?)
    }

    /// As whole numbers.
    pub fn integers(&mut self, name: &str, want: &[Option<usize>]) -> Result<Vec<i64>> {
        host::to_i64(&self.take(name, want)?.to_device(Device::Cpu).reshape([-1]))
    }

    /// As whole numbers from 0 to below `limit`.
    pub fn below(&mut self, name: &str, want: &[Option<usize>], limit: usize) -> Result<Vec<usize>> {
        let values = self.integers(name, want)?;
        let fit = |v: &i64| usize::try_from(*v).ok().filter(|v| *v < limit);
        let wrong = values.iter().find(|v| fit(v).is_none());
        if let Some(wrong) = wrong {
            return Err(Error::Input(format!(
                "state `{name}` of {} must hold numbers from 0 to below {limit}, found {wrong}",
                self.adapter
            )));
        }
        Ok(values.iter().filter_map(fit).collect())
    }

    /// The width of the remembered vectors; `None` when there were none yet.
    pub fn width(&mut self) -> Result<Option<usize>> {
        let width = self.below("width", &[Some(1)], i64::MAX as usize)?;
        Ok(width.first().copied().filter(|w| *w > 0))
    }
}

/// Whole numbers as a tensor.
pub(crate) fn integers(values: impl IntoIterator<Item = usize>) -> Tensor {
    Tensor::from_slice(&values.into_iter().map(|v| v as i64).collect::<Vec<_>>())
}

/// A width as [`Saved::width`] reads it.
pub(crate) fn width(width: Option<usize>) -> Tensor {
    integers([width.unwrap_or(0)])
}
