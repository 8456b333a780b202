ENV a=b
