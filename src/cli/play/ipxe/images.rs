//! The images that a script has fetched and not yet started.

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IpxeImage {
    /// The name in scripts.
    pub(super) name: String,
    /// The URL it was fetched from.
    pub(super) url: String,
    /// Its arguments.
    pub(super) arguments: Vec<String>,
    /// Its first bytes.
    pub(super) bytes: Vec<u8>,
}

/// All images, and the one that `boot` starts.
#[derive(Debug, Clone, Default)]
pub(super) struct IpxeImages {
    all: Vec<IpxeImage>,
    selected: Option<String>,
}

impl IpxeImage {
    /// Whether it is an iPXE script.
    pub(super) fn is_script(&self) -> bool {
        self.bytes.starts_with(b"#!ipxe")
    }
}

impl IpxeImages {
    /// Adds an image; replaces one of the same name.
    pub(super) fn add(&mut self, image: IpxeImage) {
        self.free(&image.name);
        self.all.push(image);
    }

    /// Selects the image that `boot` starts; false if there is none of this name.
    pub(super) fn select(&mut self, name: &str) -> bool {
        let known = self.find(name).is_some();
        if known {
            self.selected = Some(name.into());
        }
        known
    }

    pub(super) fn find(&mut self, name: &str) -> Option<&mut IpxeImage> {
        self.all.iter_mut().find(|image| image.name == name)
    }

    /// The image that `boot` starts: the selected one, else the only one.
    pub(super) fn chosen(&self) -> Option<&IpxeImage> {
        match (&self.selected, self.all.as_slice()) {
            (Some(name), all) => all.iter().find(|image| image.name == *name),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }

    pub(super) fn free(&mut self, name: &str) {
        self.all.retain(|image| image.name != name);
    }

    pub(super) fn free_all(&mut self) {
        *self = IpxeImages::default();
    }
}
