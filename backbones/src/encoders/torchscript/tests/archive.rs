//! A TorchScript archive from source text, for modules that no trace gives: branches, tuples, dicts, exceptions.

use std::io::Write;
use std::path::{Path, PathBuf};

use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

/// Writes a module without weights, whose class body is `methods` (indented by two), as `folder/script.pt`.
pub(super) fn script(folder: &Path, methods: &str) -> PathBuf {
    let class = format!(
        "class Net(Module):\n  __parameters__ = []\n  __buffers__ = []\n  training : bool\n{methods}\n"
    );
    let path = folder.join("script.pt");
    let mut zip = ZipWriter::new(std::fs::File::create(&path).unwrap());
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let entries: [(&str, &[u8]); 4] = [
        ("net/data.pkl", &object()),
        ("net/code/__torch__.py", class.as_bytes()),
        ("net/constants.pkl", b"\x80\x02)."),
        ("net/version", b"3\n"),
    ];
    for (name, content) in entries {
        zip.start_file(name, stored).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap();
    path
}

/// The pickle of `__torch__.Net` with `training = True`.
fn object() -> Vec<u8> {
    let mut pickle = b"\x80\x02c__torch__\nNet\n)\x81}(X".to_vec();
    pickle.extend(8u32.to_le_bytes());
    pickle.extend(b"training\x88ub.");
    pickle
}

/// A method `forward` of the joints with this body.
pub(super) fn forward(folder: &Path, returns: &str, body: &str) -> PathBuf {
    let method = format!("  def forward(self: __torch__.Net, x: Tensor) -> {returns}:\n    {body}");
    script(folder, &method)
}
