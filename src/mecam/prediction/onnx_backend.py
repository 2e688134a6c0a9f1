"""An exported model computed by ONNX Runtime."""



