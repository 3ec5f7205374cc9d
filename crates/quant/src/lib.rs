//! camelid-quant
