//! The module file: loading, calling, and what libtorch says when it refuses.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use szar_core::checkpoint::NamedTensors;
use szar_core::{Error, Result};
use tch::{CModule, Device, IValue, TchError, Tensor};

/// Name of the file's SHA-256 among the parameters.
pub(super) const FINGERPRINT: &str = "module.sha256";

/// A loaded module with the method that is called.
#[derive(Debug)]
pub(super) struct Module {
    inner: CModule,
    path: PathBuf,
    method: String,
    /// SHA-256 of the file's bytes.
    fingerprint: Vec<u8>,
}

impl Module {
    /// Loads a module onto a device, in evaluation mode.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read, [`Error::Format`] when it is not a whole TorchScript archive.
    pub(super) fn load(path: &Path, method: &str, device: Device) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::read(path, e))?;
        let refuse = |e: TchError| {
            let why = format!(
                "not a whole TorchScript archive ({})\n\nhint: save the network with \
                 `torch.jit.script(model.eval()).save(file)` or `torch.jit.trace`; a state_dict or a pickled model \
                 lacks the program",
                one_line(&e)
            );
            Error::format(path, None, why)
        };
        let mut inner = CModule::load_data_on_device(&mut bytes.as_slice(), device).map_err(refuse)?;
        inner.f_set_eval().map_err(refuse)?;
        Ok(Self {
            inner,
            path: path.to_owned(),
            method: method.to_owned(),
            fingerprint: Sha256::digest(&bytes).to_vec(),
        })
    }

    /// Calls the method.
    ///
    /// # Errors
    /// [`Error::Format`] with the file, the method and the exception.
    pub(super) fn call(&self, inputs: &[IValue]) -> Result<IValue> {
        let result = self.inner.method_is(&self.method, inputs);
        result.map_err(|e| self.refusal("", one_line(&e)))
    }

    /// An error about what the method took or gave.
    pub(super) fn refusal(&self, what: &str, why: impl Into<String>) -> Error {
        let place = format!("method `{}`{what}", self.method);
        Error::format(&self.path, place, why.into())
    }

    /// Parameters by name, sharing memory with the module, and the file's SHA-256 as 32 bytes.
    pub(super) fn state(&self) -> NamedTensors {
        let named = self.inner.named_parameters().unwrap_or_default();
        let hash = Tensor::from_slice(&self.fingerprint);
        named
            .into_iter()
            .chain([(FINGERPRINT.to_owned(), hash)])
            .collect()
    }

    /// Refuses the state of another file.
    ///
    /// # Errors
    /// [`Error::Input`] with the file.
    pub(super) fn must_be_of(&self, state: &NamedTensors) -> Result<()> {
        let own = Tensor::from_slice(&self.fingerprint);
        let theirs = state.get(FINGERPRINT).map(|t| t.to_device(Device::Cpu));
        match theirs {
            None => Err(Error::Missing(format!("`{FINGERPRINT}`"))),
            Some(theirs)
                if theirs.size() == own.size() && theirs.kind() == own.kind() && theirs.equal(&own) =>
            {
                Ok(())
            }
            Some(_) => Err(Error::Input(format!(
                "{} is not the module that this was made with: the file has changed\n\nhint: run with `--fresh` to \
                 use it as it is now",
                self.path.display()
            ))),
        }
    }
}

/// libtorch's account of an exception as one line: the exception itself, and the declaration that a call did not fit.
pub(super) fn one_line(error: &TchError) -> String {
    let text = match error {
        TchError::Torch(text) => text.clone(),
        other => other.to_string(),
    };
    let text = text.split("Exception raised from").next().unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let traced = lines.iter().any(|l| l.starts_with("Traceback"));
    let line = if traced { lines.last() } else { lines.first() };
    let mut said = line.map_or_else(|| "no reason given".to_owned(), |l| (*l).to_owned());
    if let Some(declared) = lines.iter().find_map(|l| l.strip_prefix("Declaration: ")) {
        said.push_str(&format!(" [{declared}]"));
    }
    said
}
