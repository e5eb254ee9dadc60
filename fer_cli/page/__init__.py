"""Reports as HTML pages: one self-contained file per study, and an index. No request leaves them; they work offline."""
