//! The name of this machine's processor, as it stands beside every figure.

/// The processor's name. A virtual machine may be told the maker alone: family and model are then said too.
///
/// The architecture, where the system names no processor.
pub fn processor_name() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    named(&info).unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

fn named(info: &str) -> Option<String> {
    let field = |name: &str| {
        let mut fields = info.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| field.trim() == name).map(|(_, value)| value.trim())
    };
    let name = field("model name")?;
    if name.bytes().any(|byte| byte.is_ascii_digit()) {
        return Some(name.to_owned());
    }
    Some(match (field("cpu family"), field("model")) {
        (Some(family), Some(model)) => format!("{name} (family {family}, model {model})"),
        _ => name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_maker_has_its_family_and_model_beside_it() {
        let of = |name: &str| {
            named(&format!("cpu family\t: 25\nmodel\t\t: 17\nmodel name\t: {name}\nflags\t\t: fpu\n"))
        };
        assert_eq!(of("AMD EPYC").unwrap(), "AMD EPYC (family 25, model 17)");
        assert_eq!(of("AMD EPYC 9654").unwrap(), "AMD EPYC 9654");
        assert_eq!(named("model name : AMD EPYC\n").unwrap(), "AMD EPYC");
        assert_eq!(named("processor : 0\n"), None);
    }
}
