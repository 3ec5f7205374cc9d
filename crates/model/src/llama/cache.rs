//! Keys and values of the positions already seen.

use burn::tensor::Tensor;

/// Positions by which a full cache grows.
const CHUNK: usize = 256;

/// The key-value cache of a whole model.
#[derive(Clone, Debug)]
pub struct KvCache {
    layers: Vec<LayerCache>,
}

impl KvCache {
    /// An empty cache for `num_layers` blocks. It takes memory for `capacity`
    /// positions at first use and grows when they are full.
    pub fn new(num_layers: usize, capacity: usize) -> Self {
        let layer = LayerCache { stored: None, len: 0, capacity };
        Self { layers: vec![layer; num_layers] }
    }

    /// Number of positions held.
    pub fn len(&self) -> usize {
        self.layers.first().map_or(0, LayerCache::len)
    }

    /// Whether no position is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets every position after the first `len`.
    pub fn truncate(&mut self, len: usize) {
        for layer in &mut self.layers {
            layer.len = layer.len.min(len);
        }
    }

    pub(super) fn layers_mut(&mut self) -> &mut [LayerCache] {
        &mut self.layers
    }
}

/// The cache of one block.
#[derive(Clone, Debug)]
pub struct LayerCache {
    /// Keys and values, each `[batch, capacity, key_value_heads, head_dim]`.
    stored: Option<(Tensor<4>, Tensor<4>)>,
    len: usize,
    capacity: usize,
}

impl LayerCache {
    /// Number of positions held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no position is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds the keys and values of the next positions and returns all there are.
    ///
    /// # Shapes
    /// - `k`, `v`: `[batch, seq, key_value_heads, head_dim]`
    /// - results: `[batch, len, key_value_heads, head_dim]`
    pub(super) fn append(&mut self, k: Tensor<4>, v: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let seq = k.dims()[1];
        let end = self.len + seq;
        // Taken out, so that the tensors are held once and written in place.
        let (keys, values) = match self.stored.take() {
            Some((keys, values)) if end <= keys.dims()[1] => (keys, values),
            stored => {
                self.capacity = end.next_multiple_of(CHUNK).max(self.capacity);
                let (old_k, old_v) = stored.unzip();
                (self.enlarged(&k, old_k), self.enlarged(&v, old_v))
            }
        };
        let keys = self.write(keys, k);
        let values = self.write(values, v);
        self.len = end;
        let seen = (self.read(&keys), self.read(&values));
        self.stored = Some((keys, values));
        seen
    }

    /// Room for `capacity` positions, the old ones copied over.
    fn enlarged(&self, like: &Tensor<4>, old: Option<Tensor<4>>) -> Tensor<4> {
        let [batch, _, heads, dim] = like.dims();
        let room = Tensor::zeros([batch, self.capacity, heads, dim], &like.device());
        match old {
            Some(old) => room.slice_assign([0..batch, 0..self.len], self.read(&old)),
            None => room,
        }
    }

    fn write(&self, room: Tensor<4>, new: Tensor<4>) -> Tensor<4> {
        let [batch, seq, _, _] = new.dims();
        room.slice_assign([0..batch, self.len..self.len + seq], new)
    }

    fn read(&self, room: &Tensor<4>) -> Tensor<4> {
        room.clone().narrow(1, 0, self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution};

    #[test]
    fn appended_positions_come_back_in_order_across_growth() {
        let device = Device::flex();
        let make = |n| Tensor::<4>::random([2, n, 3, 4], Distribution::Default, &device);
        let mut layer = KvCache::new(1, 5).layers.remove(0);
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        // 4 + 3 outgrows the first capacity; 300 outgrows the first chunk.
        for n in [4, 3, 1, 300] {
            let (k, v) = (make(n), make(n));
            keys.push(k.clone());
            values.push(v.clone());
            let (all_k, all_v) = layer.append(k, v);
            assert_eq!(all_k.into_data(), Tensor::cat(keys.clone(), 1).into_data());
            assert_eq!(all_v.into_data(), Tensor::cat(values.clone(), 1).into_data());
        }
        assert_eq!(layer.len(), 308);
    }
}
