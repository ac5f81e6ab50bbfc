"""The Python API: submit, follow and read runs from a notebook or a program. `import trainchart` offers it."""
