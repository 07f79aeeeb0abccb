//! The network once more, each layer as the paper and PyTorch's layers define it, on activations `[n, C, T, V]` and
//! weights looked up by name: slow, and what the encoder is held against.

use szar_core::{NamedTensors, SkeletonLayout};
use tch::{Kind, Tensor};

use super::graph::disentangled;

pub(super) struct Plain<'a> {
    pub(super) state: &'a NamedTensors,
    pub(super) layout: &'a SkeletonLayout,
    pub(super) gcn_scales: usize,
    pub(super) g3d_scales: usize,
}

impl Plain<'_> {
    fn at(&self, name: &str) -> Tensor {
        self.state[name].to_kind(Kind::Double)
    }

    fn norm(&self, x: &Tensor, name: &str) -> Tensor {
        let part = |part: &str| self.at(&format!("{name}.{part}"));
        x.batch_norm(
            Some(part("weight")),
            Some(part("bias")),
            Some(part("running_mean")),
            Some(part("running_var")),
            false,
            0.1,
            1e-5,
            false,
        )
    }

    fn conv(&self, x: &Tensor, name: &str, stride: i64, dilation: i64) -> Tensor {
        let weight = self.at(&format!("{name}.weight"));
        let padding = dilation * (weight.size()[2] - 1) / 2;
        let bias = Some(self.at(&format!("{name}.bias")));
        x.conv2d(&weight, bias, [stride, 1], [padding, 0], [dilation, 1], 1)
    }

    /// Aggregation over nodes `[n, C, T, U]` whose graph spans `window` frames.
    fn aggregate(&self, x: &Tensor, name: &str, scales: usize, window: usize) -> Tensor {
        let graph = disentangled(self.layout, scales, window).to_kind(Kind::Double);
        let graph = (graph + self.at(&format!("{name}.A_res"))).chunk(scales as i64, 0);
        let parts: Vec<_> = graph.iter().map(|a| x.matmul(&a.tr())).collect();
        let y = self.conv(&Tensor::cat(&parts, 1), &format!("{name}.mlp.layers.0"), 1, 1);
        self.norm(&y, &format!("{name}.mlp.layers.1")).relu()
    }

    fn window(&self, x: &Tensor, name: &str, window: i64, stride: i64) -> Tensor {
        let s = x.size();
        let (n, c, v) = (s[0], s[1], s[3]);
        // PyTorch's unfold of an image: [n, C * window, T' * V].
        let unfolded = x.im2col([window, 1], [1, 1], [(window - 1) / 2, 0], [stride, 1]);
        let y = unfolded.view([n, c, window, -1, v]).permute([0, 1, 3, 2, 4]);
        let y = y.reshape([n, c, -1, window * v]);
        let y = self.aggregate(&y, &format!("{name}.gcn3d.1"), self.g3d_scales, window as usize);
        let y = y.view([n, y.size()[1], -1, window, v]);
        let weight = self.at(&format!("{name}.out_conv.weight"));
        let bias = Some(self.at(&format!("{name}.out_conv.bias")));
        let y = y.conv3d(&weight, bias, 1, 0, 1, 1).squeeze_dim(3);
        self.norm(&y, &format!("{name}.out_bn"))
    }

    fn temporal(&self, x: &Tensor, name: &str, stride: i64) -> Tensor {
        let branch = |i: i64| {
            let name = format!("{name}.branches.{i}");
            let first = |stride| {
                let y = self.conv(x, &format!("{name}.0"), stride, 1);
                self.norm(&y, &format!("{name}.1"))
            };
            match i {
                0..4 => {
                    let y = self.conv(&first(1).relu(), &format!("{name}.3.conv"), stride, i + 1);
                    self.norm(&y, &format!("{name}.3.bn"))
                }
                4 => {
                    let y = first(1).relu();
                    let y = y.max_pool2d([3, 1], [stride, 1], [1, 0], [1, 1], false);
                    self.norm(&y, &format!("{name}.4"))
                }
                _ => first(stride),
            }
        };
        let y = Tensor::cat(&(0..6).map(branch).collect::<Vec<_>>(), 1);
        if self.state.contains_key(&format!("{name}.residual.conv.weight")) {
            let short = self.conv(x, &format!("{name}.residual.conv"), stride, 1);
            y + self.norm(&short, &format!("{name}.residual.bn"))
        } else {
            y + x
        }
    }

    /// `[B, 3, T, V, M]` to the last block's `[B * M, N, T', V]`.
    pub(super) fn run(&self, joints: &Tensor) -> Tensor {
        let s = joints.size();
        let (b, c, t, v, m) = (s[0], s[1], s[2], s[3], s[4]);
        let x = joints.to_kind(Kind::Double).permute([0, 4, 3, 1, 2]);
        let x = self.norm(&x.reshape([b, m * v * c, t]), "data_bn");
        let mut x = x.view([b * m, v, c, t]).permute([0, 2, 3, 1]);
        for (block, stride) in [(1, 1), (2, 2), (3, 2)] {
            let y = self.aggregate(&x, &format!("sgcn{block}.0"), self.gcn_scales, 1);
            let y = self.temporal(&y, &format!("sgcn{block}.1"), stride).relu();
            let y = self.temporal(&y, &format!("sgcn{block}.2"), 1);
            let near = self.window(&x, &format!("gcn3d{block}.gcn3d.0"), 3, stride);
            let far = self.window(&x, &format!("gcn3d{block}.gcn3d.1"), 5, stride);
            x = self
                .temporal(&(y + near + far).relu(), &format!("tcn{block}"), 1)
                .relu();
        }
        x
    }
}
