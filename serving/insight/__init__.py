"""What a sales or marketing department reads every week."""
