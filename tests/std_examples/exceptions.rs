//! The list of what differs from std on purpose, in `exceptions.txt`.

/// One line of the list: `name: reason`. A name that ends with `*` covers all that begin with it.
#[derive(Debug)]
pub(crate) struct Exception {
    pub(crate) name: &'static str,
}

/// Returns the list.
pub(crate) fn list() -> Vec<Exception> {
    let lines = include_str!("exceptions.txt").lines();
    let entries = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let exception = |line: &'static str| {
        let (name, reason) = line.split_once(": ").expect("an exception has a reason");
        assert!(reason.len() > 5, "{name} has no reason");
        Exception { name }
    };
    entries.map(exception).collect()
}

impl Exception {
    pub(crate) fn covers(&self, name: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => self.name == name,
        }
    }
}
