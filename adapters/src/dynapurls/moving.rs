//! What is learned: a scale and a shift per number of every refined anchor, per stream, with Adam's moments.

use szar_core::{Error, NamedTensors, Result, host};
use tch::{Device, Kind, Tensor};

use super::Length;
use super::fused::{BETAS, MIN_LENGTH, Parameters, Rates, Rule, Step};

/// Scale, shift, moments and the anchors they give.
#[derive(Debug)]
pub(super) struct Moving {
    /// `[C, P, d]`.
    pub base: Tensor,
    /// `[C, P, 1]`, the lengths of the text's rows.
    lengths: Tensor,
    /// The same on the host.
    host_lengths: Vec<f32>,
    rule: Rule,
    /// `[S, C, P, d]`.
    pub text: Tensor,
    /// `[S, 2, C, P, d]`, scale then shift.
    values: Tensor,
    /// `[S, 2, 2, C, P, d]`: of scale, then of shift, the first and the second moment.
    moments: Tensor,
    /// Steps of Adam so far, per stream.
    pub updates: Vec<u64>,
    /// `[C·P]`, rows of classes that stay.
    frozen: Vec<bool>,
    /// `[C, 1, 1]`, 0 for classes that stay.
    mask: Tensor,
    on_host: bool,
}

impl Moving {
    /// From scale 1 and shift 0. `moves[c]` says whether class c's anchors move.
    pub fn new(base: &Tensor, streams: usize, moves: &[bool], how: (Length, Rule), device: Device) -> Self {
        let base = base.to_device(device).to_kind(Kind::Float).contiguous().copy();
        let size = base.size();
        let (classes, texts, width) = (size[0], size[1], size[2]);
        let options = (Kind::Float, device);
        let s = streams as i64;
        let values = Tensor::zeros([s, 2, classes, texts, width], options);
        let _ = values.select(1, 0).fill_(1.0);
        let length = base
            .norm_scalaropt_dim(2, [-1i64].as_slice(), true)
            .clamp_min(f64::from(MIN_LENGTH));
        let (kept, rule) = how;
        let lengths = match kept {
            Length::Unit => length.ones_like(),
            Length::Kept => length.shallow_clone(),
        };
        let text = (&base / length * &lengths)
            .unsqueeze(0)
            .repeat([s, 1, 1, 1])
            .contiguous();
        let mask: Vec<f32> = moves.iter().map(|m| f32::from(u8::from(*m))).collect();
        Self {
            text,
            values,
            moments: Tensor::zeros([s, 2, 2, classes, texts, width], options),
            updates: vec![0; streams],
            frozen: moves.iter().flat_map(|m| vec![!m; texts as usize]).collect(),
            mask: Tensor::from_slice(&mask).view([-1, 1, 1]).to_device(device),
            on_host: device == Device::Cpu,
            host_lengths: host::HostF32::new(&lengths).as_slice().to_vec(),
            lengths,
            rule,
            base,
        }
    }

    #[cfg(test)]
    pub fn use_tensors(&mut self) {
        self.on_host = false;
    }

    /// Scale and shift, `[S, 2, C, P, d]`.
    pub fn values(&self) -> &Tensor {
        &self.values
    }

    /// One step of a stream along the gradient with respect to its text, `[C, P, d]`.
    pub fn step(&mut self, stream: usize, gradient: &Tensor, lr: f64) {
        self.updates[stream] += 1;
        let rates = Rates::new(&self.rule, lr, self.updates[stream]);
        if self.on_host {
            self.step_on_host(stream, gradient, rates);
        } else {
            let down = self.down(stream, gradient);
            self.step_by_tensors(stream, &down, rates);
        }
    }

    /// One step of a stream along the gradient with respect to scale and shift, `[2, C, P, d]`.
    pub fn step_values(&mut self, stream: usize, gradient: &Tensor, lr: f64) {
        self.updates[stream] += 1;
        self.step_by_tensors(stream, gradient, Rates::new(&self.rule, lr, self.updates[stream]));
    }

    /// `[2, C, P, d]`: the gradient with respect to scale and shift from that with respect to the text, `[C, P, d]`.
    pub fn down(&self, stream: usize, gradient: &Tensor) -> Tensor {
        let (text, values) = (self.text.get(stream as i64), self.values.get(stream as i64));
        let moved = &self.base * values.get(0) + values.get(1);
        let length = moved
            .norm_scalaropt_dim(2, [-1i64].as_slice(), true)
            .clamp_min(f64::from(MIN_LENGTH));
        let square = self.lengths.square().clamp_min(f64::from(MIN_LENGTH));
        let along = (&text * gradient).sum_dim_intlist([-1i64].as_slice(), true, Kind::Float) / square;
        let shift = (gradient - text * along) * &self.lengths / length * &self.mask;
        Tensor::stack(&[&shift * &self.base, shift], 0)
    }

    fn step_on_host(&mut self, stream: usize, gradient: &Tensor, rates: Rates) {
        let gradient = host::HostF32::new(gradient);
        let width = self.base.size()[2].unsigned_abs() as usize;
        let count = self.base.numel();
        let base = host::slice(&self.base);
        let values = &mut host::slice_mut(&mut self.values)[stream * 2 * count..(stream + 1) * 2 * count];
        let moments = &mut host::slice_mut(&mut self.moments)[stream * 4 * count..(stream + 1) * 4 * count];
        let text = &mut host::slice_mut(&mut self.text)[stream * count..(stream + 1) * count];
        let (scale, shift) = values.split_at_mut(count);
        let (of_scale, of_shift) = moments.split_at_mut(2 * count);
        let (m_scale, v_scale) = of_scale.split_at_mut(count);
        let (m_shift, v_shift) = of_shift.split_at_mut(count);
        pulp::Arch::new().dispatch(Step {
            width,
            rates,
            base,
            lengths: &self.host_lengths,
            parameters: Parameters {
                scale,
                shift,
                moments: [m_scale, v_scale, m_shift, v_shift],
                text,
            },
            gradient: gradient.as_slice(),
            frozen: &self.frozen,
        });
    }

    fn step_by_tensors(&mut self, stream: usize, gradient: &Tensor, rates: Rates) {
        let at = stream as i64;
        let values = self.values.get(at);
        let (mut first, mut second) = (
            self.moments.get(at).select(1, 0),
            self.moments.get(at).select(1, 1),
        );
        let gradient = if rates.decay > 0.0 {
            gradient + &values * f64::from(rates.decay) * &self.mask
        } else {
            gradient.shallow_clone()
        };
        let (b1, b2) = (f64::from(BETAS.0), f64::from(BETAS.1));
        let _ = first.g_mul_scalar_(b1).g_add_(&(&gradient * (1.0 - b1)));
        let _ = second.g_mul_scalar_(b2).g_add_(&(gradient.square() * (1.0 - b2)));
        let size = second.sqrt() / f64::from(rates.corrections.1.sqrt()) + f64::from(rates.epsilon);
        let lr = Tensor::from_slice(&[rates.lr.0, rates.lr.1])
            .view([2, 1, 1, 1])
            .to_device(values.device());
        let moved = first / size * lr / f64::from(rates.corrections.0);
        let values = values.shallow_clone().g_sub_(&(moved * &self.mask));
        if rates.pull > 0.0 {
            let keep = 1.0 - f64::from(rates.pull);
            let mut scale = values.get(0);
            let mut shift = values.get(1);
            let _ = scale.g_sub_scalar_(1.0).g_mul_scalar_(keep).g_add_scalar_(1.0);
            let _ = shift.g_mul_scalar_(keep);
        }
        let moved = &self.base * values.get(0) + values.get(1);
        let length = moved
            .norm_scalaropt_dim(2, [-1i64].as_slice(), true)
            .clamp_min(f64::from(MIN_LENGTH));
        self.text.get(at).copy_(&(moved / length * &self.lengths));
    }

    pub fn bytes(&self) -> u64 {
        let tensors = [&self.base, &self.text, &self.values, &self.moments];
        tensors.iter().map(|t| t.numel() as u64 * 4).sum()
    }

    pub fn snapshot(&self, into: &mut NamedTensors) {
        let updates: Vec<i64> = self.updates.iter().map(|u| u.cast_signed()).collect();
        into.insert("moving/values".into(), self.values.copy());
        into.insert("moving/moments".into(), self.moments.copy());
        into.insert("moving/text".into(), self.text.copy());
        into.insert("moving/updates".into(), Tensor::from_slice(&updates));
    }

    pub fn restore(&mut self, state: &NamedTensors) -> Result<()> {
        let mut own = [
            ("moving/values", &mut self.values),
            ("moving/moments", &mut self.moments),
            ("moving/text", &mut self.text),
        ];
        let get = |name: &str| -> Result<&Tensor> {
            state
                .get(name)
                .ok_or_else(|| Error::Missing(format!("`{name}` in the snapshot")))
        };
        for (name, tensor) in &own {
            let got = get(name)?.size();
            if got != tensor.size() {
                let want = format!("{:?}", tensor.size());
                return Err(Error::Shape {
                    what: (*name).to_owned(),
                    got,
                    want,
                });
            }
        }
        let updates = host::to_i64(get("moving/updates")?)?;
        if updates.len() != self.updates.len() {
            return Err(Error::Missing(
                "an entry of `moving/updates` for every stream".into(),
            ));
        }
        for (name, tensor) in &mut own {
            tensor.copy_(get(name)?);
        }
        self.updates = updates.iter().map(|u| u.unsigned_abs()).collect();
        Ok(())
    }
}
