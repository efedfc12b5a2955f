"""One audit: its scenarios, what is asked, what is concluded."""
