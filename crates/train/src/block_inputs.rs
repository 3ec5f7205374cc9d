//! The inputs of all blocks, saved on the way forward for the way back, under a budget.

use burn::tensor::{Device, Tensor, TensorData};
use camelid_paged_optim::{PageBudget, Spill, SpillFile};

use crate::TrainError;

/// How many bytes of saved block inputs stay resident, and where the rest waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockInputPaging {
    /// Resident bytes; `None` keeps all.
    pub budget: PageBudget,
    /// Where the rest goes.
    pub spill: Spill,
}

impl Default for BlockInputPaging {
    fn default() -> Self {
        Self { budget: None, spill: Spill::Host }
    }
}

/// A stack of block inputs. The oldest leave first: they are needed last.
pub(crate) struct BlockInputs {
    paging: BlockInputPaging,
    file: Option<SpillFile>,
    inputs: Vec<Input>,
    /// How many of `inputs`, from the bottom, have left.
    away: usize,
    resident: u64,
}

#[allow(
    clippy::large_enum_variant,
    reason = "how large a tensor is depends on the devices that burn is built with"
)]
enum Input {
    Resident(Tensor<3>),
    Host { data: TensorData, device: Device },
    File { at: u64, shape: [usize; 3], device: Device },
}

impl BlockInputs {
    pub(crate) fn new(paging: BlockInputPaging) -> Self {
        let file = match &paging.spill {
            Spill::Host => None,
            Spill::File(dir) => Some(SpillFile::new(dir.clone())),
        };
        Self { paging, file, inputs: Vec::new(), away: 0, resident: 0 }
    }

    /// Saves the next block's input. The newest stays whatever the budget.
    pub(crate) fn push(&mut self, input: Tensor<3>) -> Result<(), TrainError> {
        self.resident += bytes(&input);
        self.inputs.push(Input::Resident(input));
        while self.paging.budget.is_some_and(|budget| self.resident > budget)
            && self.away + 1 < self.inputs.len()
        {
            self.send_away(self.away)?;
            self.away += 1;
        }
        Ok(())
    }

    /// The newest input that is left.
    pub(crate) fn pop(&mut self) -> Result<Option<Tensor<3>>, TrainError> {
        let Some(input) = self.inputs.pop() else { return Ok(None) };
        self.away = self.away.min(self.inputs.len());
        Ok(Some(match input {
            Input::Resident(tensor) => {
                self.resident -= bytes(&tensor);
                tensor
            }
            Input::Host { data, device } => Tensor::from_data(data, &device),
            Input::File { at, shape, device } => {
                let mut values = vec![0_f32; shape.iter().product()];
                if let Some(file) = &self.file {
                    file.read_bytes(at, bytemuck::cast_slice_mut(&mut values))?;
                }
                Tensor::from_data(TensorData::new(values, shape), &device)
            }
        }))
    }

    fn send_away(&mut self, index: usize) -> Result<(), TrainError> {
        let Input::Resident(tensor) = &self.inputs[index] else { return Ok(()) };
        let (tensor, size) = (tensor.clone(), bytes(tensor));
        let (device, shape) = (tensor.device(), tensor.dims());
        let unread = |reason: String| TrainError::Tensor { name: format!("input of block {index}"), reason };
        let data = tensor.try_into_data().map_err(|error| unread(error.to_string()))?;
        self.inputs[index] = match &mut self.file {
            None => Input::Host { data, device },
            Some(file) => {
                let at = file.reserve(size)?;
                file.write_bytes(at, data.as_bytes())?;
                Input::File { at, shape, device }
            }
        };
        self.resident -= size;
        Ok(())
    }
}

fn bytes(tensor: &Tensor<3>) -> u64 {
    (tensor.shape().num_elements() * tensor.dtype().size()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_come_back_in_reverse_with_any_budget() {
        let dir = tempfile::tempdir().unwrap();
        let device = Device::flex();
        let input = |i: usize| Tensor::<3>::full([1, 2, 4], i as f32 + 0.1, &device);
        for spill in [Spill::Host, Spill::File(dir.path().to_owned())] {
            for budget in [None, Some(0), Some(70), Some(1 << 20)] {
                let mut inputs = BlockInputs::new(BlockInputPaging { budget, spill: spill.clone() });
                for i in 0..6 {
                    inputs.push(input(i)).unwrap();
                }
                let resident = inputs.inputs.iter().filter(|i| matches!(i, Input::Resident(_))).count();
                assert_eq!(
                    resident,
                    match budget {
                        Some(0) => 1,
                        Some(70) => 2,
                        _ => 6,
                    }
                );
                for i in (0..6).rev() {
                    let back = inputs.pop().unwrap().unwrap();
                    assert_eq!(back.into_data(), input(i).into_data());
                }
                assert!(inputs.pop().unwrap().is_none());
            }
        }
    }
}
