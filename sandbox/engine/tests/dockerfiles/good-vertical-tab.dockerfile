FROM scratch
ENVa=bc=d
CMD	[ "x" ]
