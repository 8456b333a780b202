FROM --platform=nosuch/thing/else/more scratch
ENV a=b
