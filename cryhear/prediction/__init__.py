"""A trained model kept, asked about new recordings, and measured."""
