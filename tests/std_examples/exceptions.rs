//! The list of what differs from std on purpose, in `exceptions.txt`.

/// One line of the list: `name: reason`. A name that ends with `*` covers all that begin with it.
#[derive(Debug)]
pub(crate) struct Exception {
    pub(crate) name: &'static str,
    /// Whether it stands below the heading `not yet`.
    pub(crate) is_temporary: bool,
}

/// Returns the list.
pub(crate) fn list() -> Vec<Exception> {
    let mut is_temporary = false;
    let mut list = Vec::new();
    for line in include_str!("exceptions.txt").lines() {
        if let Some(heading) = line.strip_prefix('#') {
            is_temporary = heading.trim().starts_with("Not yet");
        } else if !line.is_empty() {
            let (name, reason) = line.split_once(": ").expect("an exception has a reason");
            assert!(reason.len() > 5, "{name} has no reason");
            list.push(Exception { name, is_temporary });
        }
    }
    list
}

impl Exception {
    pub(crate) fn covers(&self, name: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => self.name == name,
        }
    }
}
