"""What [CLS] attends to, beside what chance gives."""
