"""What the paper asks of scored answers beyond their mean (VideoP2R section 4): each analysis is a command."""
