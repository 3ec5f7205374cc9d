//! Where a model can carry adapters.

use burn::module::Param;
use camelid_lora::{AdapterHost, BaseLinear, LoraLinear, ModuleMut, ModuleRef, Tied};

use super::Llama;
use super::load::head;

const EMBEDDING: &str = "model.embed_tokens";
const HEAD: &str = "lm_head";
const NORM: &str = "model.norm";

impl AdapterHost for Llama {
    fn linears(&self) -> Vec<(String, &LoraLinear)> {
        self.layers
            .iter()
            .enumerate()
            .flat_map(|(i, block)| block.linears().map(|(name, linear)| (in_block(i, name), linear)))
            .collect()
    }

    fn linears_mut(&mut self) -> Vec<(String, &mut LoraLinear)> {
        self.layers
            .iter_mut()
            .enumerate()
            .flat_map(|(i, block)| block.linears_mut().map(|(name, linear)| (in_block(i, name), linear)))
            .collect()
    }

    fn others(&self) -> Vec<(String, ModuleRef<'_>)> {
        let norms =
            self.layers.iter().enumerate().flat_map(|(i, block)| {
                block.norms().map(|(name, norm)| (in_block(i, name), norm.as_module()))
            });
        [(EMBEDDING.to_string(), ModuleRef::Embedding(&self.embed_tokens))]
            .into_iter()
            .chain(norms)
            .chain([(NORM.to_string(), self.norm.as_module())])
            .chain(self.lm_head.iter().map(|head| (HEAD.to_string(), ModuleRef::Linear(head))))
            .collect()
    }

    fn others_mut(&mut self) -> Vec<(String, ModuleMut<'_>)> {
        let norms = self.layers.iter_mut().enumerate().flat_map(|(i, block)| {
            block.norms_mut().map(|(name, norm)| (in_block(i, name), norm.as_module_mut()))
        });
        [(EMBEDDING.to_string(), ModuleMut::Embedding(&mut self.embed_tokens))]
            .into_iter()
            .chain(norms)
            .chain([(NORM.to_string(), self.norm.as_module_mut())])
            .chain(self.lm_head.iter_mut().map(|head| (HEAD.to_string(), ModuleMut::Linear(head))))
            .collect()
    }

    fn tied(&self) -> Option<Tied> {
        let tied = || Tied { embedding: EMBEDDING.into(), head: HEAD.into() };
        self.lm_head.is_none().then(tied)
    }

    fn untie(&mut self) {
        if self.lm_head.is_none() {
            // The same storage under an identity of its own.
            let mut head = match self.embed_tokens.int8_table() {
                Some(table) => LoraLinear::new(BaseLinear::Int8(table.clone())),
                None => {
                    let weight = self.embed_tokens.weight.val().detach();
                    head(Param::from_tensor(weight).set_require_grad(false))
                }
            };
            head.set_compute_type(self.compute_type);
            self.lm_head = Some(head);
            std::sync::Arc::make_mut(&mut self.config).tie_word_embeddings = false;
        }
    }
}

fn in_block(i: usize, name: &str) -> String {
    format!("model.layers.{i}.{name}")
}
