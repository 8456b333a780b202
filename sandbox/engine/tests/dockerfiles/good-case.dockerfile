from scratch
eNv a=b
cMd x
