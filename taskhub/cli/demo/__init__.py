"""`taskhub demo`: a whole TaskHub in an empty folder, at work for half a minute."""
