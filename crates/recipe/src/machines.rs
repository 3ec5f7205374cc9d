//! Machines that can be rented, with what they cost.

use serde::{Deserialize, Serialize};

use crate::RecipeError;

/// The table that comes with the crate (`machines.toml`).
const TABLE: &str = include_str!("../machines.toml");

/// A table of machines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machines {
    /// The day on which prices were looked up; each stood at the time its own source says.
    pub read_on: String,
    /// Share of a device's peak that training is taken to reach.
    pub efficiency: f64,
    /// The machines.
    #[serde(rename = "machine")]
    pub machines: Vec<Machine>,
}

/// A machine of several devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Its devices' name.
    pub name: String,
    /// The same as SkyPilot calls them.
    pub accelerator: String,
    /// Memory of one of them, in gigabytes of 2³⁰ bytes as makers count them.
    pub memory_gb: u64,
    /// How many are rented together.
    pub devices: usize,
    /// Operations of one a second at most, 16-bit products with 32-bit sums, in 10¹².
    pub peak: f64,
    /// Dollars for one and an hour.
    pub on_demand: f64,
    /// The same where it may be taken away.
    pub spot: f64,
    /// Where and when the prices stood.
    pub price_of: String,
}

impl Machines {
    /// The table that comes with the crate.
    ///
    /// # Errors
    /// [`RecipeError::Experiment`] with what is wrong in it.
    pub fn builtin() -> Result<Self, RecipeError> {
        toml::from_str(TABLE).map_err(|error| RecipeError::Experiment {
            path: "machines.toml".into(),
            line: None,
            reason: error.to_string(),
        })
    }

    /// The machine of this name.
    pub fn get(&self, name: &str) -> Option<&Machine> {
        self.machines.iter().find(|machine| machine.name == name)
    }
}

impl Machine {
    /// Hours for so many operations on all its devices.
    pub fn hours(&self, flops: f64, efficiency: f64) -> f64 {
        flops / (self.devices as f64 * self.peak * 1e12 * efficiency) / 3600.0
    }

    /// Bytes of one device.
    pub fn memory(&self) -> u64 {
        self.memory_gb << 30
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole_and_spot_is_cheaper() {
        let table = Machines::builtin().unwrap();
        for name in ["A100-40GB", "A100-80GB", "H100-80GB", "RTX 4090"] {
            let machine = table.get(name).unwrap();
            assert!(machine.spot < machine.on_demand && machine.spot > 0.0, "{name}");
            assert!(machine.price_of.contains('@'), "{name}: a source that can be looked up");
        }
        let a100 = table.get("A100-80GB").unwrap();
        // The parts that the source lists, for eight.
        assert!((8.0 * a100.on_demand - (31.44 + 8.797)).abs() < 0.01);
        assert!((8.0 * a100.spot - (10.0 + 2.135)).abs() < 0.01);
        // 8 × 312 TFLOP/s at 40 % are 1e15 a second within a part in a thousand.
        assert!((a100.hours(3.6e18, 0.4) - 1.0).abs() < 0.002);
    }
}
