"""The second ear: is a recording machine-made? Several independent signs, one calibrated answer."""
