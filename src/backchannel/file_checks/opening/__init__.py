"""What opens images and PDFs, in a process of its own with limits. Imports nothing else of Backchannel, which takes
seconds to import, and is found by its folder."""
