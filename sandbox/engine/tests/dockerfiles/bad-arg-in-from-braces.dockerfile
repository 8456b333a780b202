ARG A=scr
ARG B=atch
FROM ${A}${B}
