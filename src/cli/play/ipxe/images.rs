//! What a script has fetched and not yet started.

/// One image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IpxeImage {
    /// What scripts call it.
    pub(super) name: String,
    /// Where it came from.
    pub(super) url: String,
    /// Its command line.
    pub(super) words: Vec<String>,
    /// Its beginning.
    pub(super) bytes: Vec<u8>,
}

/// Every image, and which one `boot` starts.
#[derive(Debug, Clone, Default)]
pub(super) struct IpxeImages {
    all: Vec<IpxeImage>,
    selected: Option<String>,
}

impl IpxeImage {
    /// Whether it is a script of iPXE's.
    pub(super) fn is_script(&self) -> bool {
        self.bytes.starts_with(b"#!ipxe")
    }
}

impl IpxeImages {
    /// Keeps an image, in place of one of the same name.
    pub(super) fn keep(&mut self, image: IpxeImage) {
        self.free(&image.name);
        self.all.push(image);
    }

    /// Makes the image the one that `boot` starts.
    pub(super) fn select(&mut self, name: &str) -> bool {
        let known = self.find(name).is_some();
        if known {
            self.selected = Some(name.into());
        }
        known
    }

    /// The image of this name.
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

    /// Frees the image of this name.
    pub(super) fn free(&mut self, name: &str) {
        self.all.retain(|image| image.name != name);
    }

    /// Frees every image.
    pub(super) fn free_all(&mut self) {
        *self = IpxeImages::default();
    }
}
