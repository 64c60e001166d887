"""What two programs agree on byte for byte: ids, topics, messages, manifest, sheet, custody."""
