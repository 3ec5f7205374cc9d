//! camelid-paged-optim
