//! Modules that Python wrote, where `PEER_PYTHON` names one with PyTorch.

use std::process::Command;

use serde_json::json;
use szar_core::SkeletonEncoder;

use super::*;

const SOURCE: &str = r#"
import array, sys, torch
from typing import Dict, Tuple
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3 * 5)
        self.mix = nn.Conv2d(3, 4, (3, 1), padding=(1, 0), stride=(2, 1))
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> Tuple[torch.Tensor, Dict[str, torch.Tensor]]:
        n, c, t, v, m = x.shape
        x = x.permute(0, 4, 3, 1, 2).reshape(n * m, v * c, t)
        x = self.norm(x).view(n, m, v, c, t).permute(0, 1, 3, 4, 2).reshape(n * m, c, t, v)
        x = self.drop(torch.relu(self.mix(x))).view(n, m, 4, t // 2, v)
        if m > 1:
            assert t > 1, "one frame is too few"
        x = x.mean(1)
        return self.fc(x.mean([2, 3])), {"map": x}

class Map(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)[1]["map"]

torch.manual_seed(3)
net = Net()
net.train()
for _ in range(3):
    net(torch.randn(8, 3, 6, 5, 2))
x = torch.arange(2 * 3 * 6 * 5 * 2, dtype=torch.float32).reshape(2, 3, 6, 5, 2).sin()
folder = sys.argv[1]
script = torch.jit.script(net)
script.save(folder + "/scripted.pt")
net.eval()
torch.jit.freeze(torch.jit.script(net)).save(folder + "/frozen.pt")
with torch.no_grad():
    logits, out = net(x)
    torch.jit.trace(Map(net), (x,)).save(folder + "/traced.pt")
torch.save(net.state_dict(), folder + "/state_dict.pt")
for name, value in (("logits", logits), ("map", out["map"])):
    with open(f"{folder}/{name}.bin", "wb") as file:
        array.array("f", value.flatten().tolist()).tofile(file)
"#;

/// Runs where `PEER_PYTHON` is set, and says so where it is not.
#[test]
fn modules_from_python_give_what_python_says() {
    let Some(python) = std::env::var_os("PEER_PYTHON") else {
        eprintln!("PEER_PYTHON names no Python with PyTorch: skipped");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    // TorchScript reads the source of what it compiles: it must stand in a file.
    let program = folder.path().join("net.py");
    std::fs::write(&program, SOURCE).unwrap();
    let done = Command::new(python)
        .args(["-W", "ignore"])
        .arg(&program)
        .arg(folder.path())
        .status();
    assert!(done.unwrap().success());
    let read = |name: &str, shape: &[i64]| {
        let bytes = std::fs::read(folder.path().join(name)).unwrap();
        Tensor::from_data_size(&bytes, shape, Kind::Float)
    };
    let mut given = batch(2, &[true; 4]);
    given.joints = Tensor::arange(360, CPU).view([2, 3, 6, 5, 2]).sin();
    let map = json!({"output_layout": "nctv", "channels": 4, "frames": 3});
    let mut both = map.clone();
    both["output"] = "1.map".into();
    both["logits"] = 0.into();
    for (file, options) in [("scripted.pt", &both), ("frozen.pt", &both), ("traced.pt", &map)] {
        let encoder = build(&config(&folder.path().join(file), options.clone()), 2);
        let encoding = encoder.unwrap().encode(&given).unwrap();
        assert!(
            close(&encoding.features.values, &read("map.bin", &[2, 4, 3, 5])),
            "{file}"
        );
        if let Some(logits) = encoding.seen_logits {
            assert!(close(&logits, &read("logits.bin", &[2, 3])), "{file}");
        }
    }
    let refused = build(&config(&folder.path().join("state_dict.pt"), json!({})), 2).unwrap_err();
    assert!(
        refused.to_string().contains("a state_dict or a pickled model"),
        "{refused}"
    );
}
