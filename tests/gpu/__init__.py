"""What only a GPU can show. Skipped without one: nothing here is needed for a green build."""
