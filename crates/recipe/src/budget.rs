//! What a run takes: steps, tokens, operations, memory of a device, hours and dollars.

use camelid_model::LlamaConfig;
use camelid_train::MemoryPlan;
use serde::Serialize;

use crate::machines::Machines;
use crate::{Experiment, Length, RecipeError};

/// What a run over so many rows takes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Budget {
    /// Rows of the training set.
    pub rows: usize,
    /// Rows of a step.
    pub batch: usize,
    /// Optimizer steps.
    pub steps: usize,
    /// Positions computed if every row is as long as it may be, as FastChat pads them.
    pub padded_tokens: u64,
    /// Tokens computed, where those of a row are known: rows lie end to end here.
    pub tokens: Option<u64>,
    /// Operations over the padded positions.
    pub padded_flops: f64,
    /// Operations over the tokens.
    pub flops: Option<f64>,
    /// On each machine of the table.
    pub charges: Vec<Charge>,
}

/// A run on a machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Charge {
    /// The machine.
    pub machine: String,
    /// Its devices.
    pub devices: usize,
    /// Bytes of one of them.
    pub memory: u64,
    /// What the run needs of one, with everything that can be divided among them divided.
    pub needed: u64,
    /// Hours over the padded positions.
    pub hours: f64,
    /// Dollars for them.
    pub on_demand: f64,
    /// Dollars for them at prices of what may be taken away.
    pub spot: f64,
}

/// Bytes of a step on one of several devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceMemory {
    /// Weights, gradients and optimizer state, a share of each on every device.
    pub divided: u64,
    /// What every device holds of its own rows: block inputs, activations, logits.
    pub own: u64,
}

impl DeviceMemory {
    /// Of a plan on `devices` that divide weights, gradients and state among them.
    pub fn of(plan: &MemoryPlan, devices: usize) -> Self {
        let state = plan.weights
            + plan.constants
            + plan.dense
            + plan.adapter
            + plan.gradients
            + plan.optimizer_resident;
        let own = plan.block_inputs + plan.activations + plan.head;
        Self { divided: state.div_ceil(devices as u64), own }
    }

    /// Both parts.
    pub fn total(self) -> u64 {
        self.divided + self.own
    }
}

impl Experiment {
    /// What a run over `rows` takes for a model of this shape; `tokens` are those of all rows, where
    /// they are known.
    ///
    /// # Errors
    /// Adapter targets that cannot be understood, a damaged table of machines.
    pub fn budget(
        &self,
        model: &LlamaConfig,
        rows: usize,
        tokens: Option<u64>,
    ) -> Result<Budget, RecipeError> {
        let batch = self.train.micro_batch_size * self.train.grad_accum;
        let preflight = self.preflight(model, rows)?;
        let cost = preflight.cost;
        // Every row is seen once an epoch, whatever the last step lacks.
        let seen = match self.length {
            Length::Steps(steps) => (steps * batch) as f64,
            Length::Epochs(epochs) => epochs * rows as f64,
        };
        let a_position = cost.flops / (cost.tokens as f64).max(1.0);
        let padded = seen * self.data.max_length as f64;
        let tokens = tokens.filter(|_| rows > 0).map(|tokens| seen * tokens as f64 / rows as f64);
        let padded_flops = a_position * padded;
        let plan = preflight.plan;
        let table = Machines::builtin()?;
        let charge = |machine: &crate::Machine| {
            let hours = machine.hours(padded_flops, table.efficiency);
            let device_hours = hours * machine.devices as f64;
            Charge {
                machine: machine.name.clone(),
                devices: machine.devices,
                memory: machine.memory(),
                needed: DeviceMemory::of(&plan, machine.devices).total(),
                hours,
                on_demand: device_hours * machine.on_demand,
                spot: device_hours * machine.spot,
            }
        };
        Ok(Budget {
            rows,
            batch,
            steps: preflight.settings.max_steps,
            padded_tokens: padded as u64,
            tokens: tokens.map(|tokens| tokens as u64),
            padded_flops,
            flops: tokens.map(|tokens| a_position * tokens),
            charges: table.machines.iter().map(charge).collect(),
        })
    }
}

impl Budget {
    /// The budget as lines of a text.
    ///
    /// # Errors
    /// A damaged table of machines.
    pub fn text(&self) -> Result<String, RecipeError> {
        let table = Machines::builtin()?;
        let mut text = format!(
            "on rented machines: {:.3e} tokens if every row is filled, {:.3e} floating-point operations\n",
            self.padded_tokens as f64, self.padded_flops
        );
        if let (Some(tokens), Some(flops)) = (self.tokens, self.flops) {
            text += &format!(
                "{:.3e} tokens, {:.3e} operations with rows end to end: {:.0} % of the hours and dollars below\n",
                tokens as f64,
                flops,
                100.0 * flops / self.padded_flops
            );
        }
        let gib = |bytes: u64| format!("{:.1}", bytes as f64 / f64::from(1 << 30));
        let row = |charge: &Charge| {
            vec![
                format!("{} × {}", charge.devices, charge.machine),
                format!("{} of {}", gib(charge.needed), gib(charge.memory)),
                if charge.needed > charge.memory { "no" } else { "yes" }.to_owned(),
                format!("{:.1}", charge.hours),
                format!("{:.0}", charge.on_demand),
                format!("{:.0}", charge.spot),
            ]
        };
        let rows: Vec<Vec<String>> = self.charges.iter().map(row).collect();
        let header = ["machine", "GiB a device", "fits", "hours", "$ on demand", "$ spot"];
        text += &camelid_report::text_table(&header, &rows, &[0, 2]);
        text += &format!(
            "at {:.0} % of the devices' peak, one micro-batch on each device, state divided among them; prices \
             looked up on {}:\n",
            100.0 * table.efficiency,
            table.read_on
        );
        for machine in &table.machines {
            text += &format!("  {}: {}\n", machine.name, machine.price_of);
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_divide_state_and_keep_their_own_rows() {
        let plan =
            MemoryPlan { weights: 80, gradients: 10, activations: 7, head: 1, ..MemoryPlan::default() };
        assert_eq!(DeviceMemory::of(&plan, 1).total(), 98);
        assert_eq!(DeviceMemory::of(&plan, 4), DeviceMemory { divided: 23, own: 8 });
    }
}
