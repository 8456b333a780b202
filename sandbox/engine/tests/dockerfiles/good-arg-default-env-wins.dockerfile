FROM scratch
ENV a=env
ARG a=arg
ARG b=arg
ENV b=env
ENV c=$a$b
